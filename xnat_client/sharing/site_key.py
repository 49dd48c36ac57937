"""The site's own key: signs checkpoints and notices, and makes the tokens that answer notices.

One Ed25519 key (RFC 8032) in the records' folder, made when it is first needed. It has no
passphrase, because checkpoints and reminders are made while nobody is there to type one; so it
proves nothing against somebody who can read the records' folder. People approve with keys of
their own. Not here: those (``signing``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xnat_client.errors import BadInputError
from xnat_client.sharing.home import Home

_FILE_NAME = "site-key.pem"
_OWNER_ONLY = 0o600
_SECRET_BYTES = 32


def sign(home: Home, content: bytes) -> str:
    """Sign something in the name of the site; base64.

    Raises
    ------
    BadInputError
        The key's file cannot be read.
    """
    return base64.b64encode(_key(home).sign(content)).decode()


def public_key(home: Home) -> str:
    """Return the site's public key: base64 of the raw 32 bytes."""
    return base64.b64encode(_key(home).public_key().public_bytes_raw()).decode()


def is_signature(content: bytes, signature: str, public_key: str) -> bool:
    """Tell whether a signature in base64 is of this content and this key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def token_for(home: Home, subject: str) -> str:
    """Return the secret token of a subject: the same at each call, to nobody else known.

    Notes
    -----
    HMAC-SHA-256 under a secret that HKDF (RFC 5869) makes from the site's key: the records hold
    only the token's digest, and a reminder can still repeat the token.
    """
    raw = _key(home).private_bytes_raw()
    derived = HKDF(hashes.SHA256(), _SECRET_BYTES, salt=None, info=b"winxnat tokens").derive(raw)
    digest = hmac.new(derived, subject.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _key(home: Home) -> Ed25519PrivateKey:
    path = home.folder / _FILE_NAME
    if not path.exists():
        _make(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadInputError(
            "The site's signing key cannot be read. Restore it from the backup of the records' "
            "folder; a new key would not fit the earlier checkpoints."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(
            "The site's signing key is not an Ed25519 key. Restore it from the backup of the "
            "records' folder."
        )
    return key


def _make(path: Path) -> None:
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # A link fails where a rename would replace: of two first calls, one key wins.
    with suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()

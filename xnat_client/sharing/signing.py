"""Personal signing keys (Ed25519): made by the person, protected by a passphrase, in their folder.

A key signs decisions, so that nobody who can write to the records can invent one. The records hold
public keys only; which keys a person ever had stands in the audit log, so that a key put into the
table by another program signs nothing. Not here: what is signed (``approvals``).
"""

from __future__ import annotations

import base64
import binascii
import os
from datetime import datetime
from pathlib import Path

import platformdirs
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError, ConflictError, NotAllowedError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import AuditEntry, Person
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role

KEY_VARIABLE = "WINXNAT_SIGNING_KEY"
"""Environment variable that names the file of the personal key."""

SHORTEST_PASSPHRASE = 12
_OWNER_ONLY = 0o600
_KEY_BYTES = 32
_ACTION = "person.key"


def key_path() -> Path:
    """Return where this person's key is: ``WINXNAT_SIGNING_KEY``, else in the user's own folder."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named)
    return platformdirs.user_config_path("winxnat") / "signing-key.pem"


def make_key(path: Path, passphrase: str) -> str:
    """Make a key file that only its owner can read and only the passphrase can open.

    Returns
    -------
    str
        The public key: base64 of its 32 bytes.

    Raises
    ------
    ConflictError
        There is a file already; it is never overwritten.
    UsageError
        The passphrase has fewer than twelve characters.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise UsageError(
            f"A signing key needs a passphrase of at least {SHORTEST_PASSPHRASE} characters; "
            "give a longer one."
        )
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError as error:
        raise ConflictError(
            "There is a signing key already, and approvals may rest on it. "
            "Name another file, or move the old one away."
        ) from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    return public_text(key.public_key())


def load_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """Open a key file.

    Raises
    ------
    BadInputError
        There is no such file, others can read it, it holds no such key, or the passphrase is
        another.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise BadInputError(
                "The file of the signing key can be read by others than its owner. "
                "Take their rights away (chmod 600); if others may have read it, make a new key."
            )
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
    except OSError as error:
        raise BadInputError(
            "The signing key cannot be read. Make one (winxnat release key), or name its file "
            f"in {KEY_VARIABLE}."
        ) from error
    except (TypeError, ValueError) as error:
        raise BadInputError(
            "The signing key cannot be opened with this passphrase. Try again, or make a new key."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError("The file holds a key of another kind; name an Ed25519 key.")
    return key


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as the records hold it: base64 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def sign(key: Ed25519PrivateKey, text: bytes) -> str:
    """Return the signature over a text, in base64."""
    return base64.b64encode(key.sign(text)).decode()


def is_signed(public_key: str, text: bytes, signature: str) -> bool:
    """Tell whether a signature over a text was made with a key; anything malformed was not."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_decoded(public_key))
        key.verify(_decoded(signature), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def register_key(  # noqa: PLR0913  # whose key, why, and what becomes of the old one
    session: Session,
    actor: Actor,
    person_id: str,
    public_key: str,
    *,
    now: datetime,
    old_is_compromised: bool = False,
) -> None:
    """Record a person's public key; decisions signed with an older one stay good.

    Parameters
    ----------
    public_key : str
        Base64 of the 32 bytes.
    old_is_compromised : bool
        Whether nothing that was signed with the person's older keys counts any more.

    Raises
    ------
    NotAllowedError
        Neither the person nor the officer acts, or the officer's own key would be replaced by
        nobody but themself while another key is in use.
    ConflictError
        The key is another person's.
    UsageError
        The text is no such key.
    """
    person = people.person_of(session, person_id)
    _check_registrar(session, actor, person, now)
    try:
        well_formed = len(_decoded(public_key)) == _KEY_BYTES
    except ValueError:
        well_formed = False
    if not well_formed:
        raise UsageError("A public key is the base64 text of 32 bytes; copy it again.")
    if _owners(session).get(public_key, person_id) != person_id:
        raise ConflictError("This key belongs to another person; each person makes their own.")
    before = {"public_key": person.public_key}
    after = {"public_key": public_key, "old_is_compromised": old_is_compromised}
    person.public_key = public_key
    session.flush()
    change = chain.Change(_ACTION, "person", person_id, before, after)
    chain.append(session, actor, change, now=now)


def _check_registrar(session: Session, actor: Actor, person: Person, now: datetime) -> None:
    """Refuse who may not record a key: the person the first one, another officer all later."""
    roles = people.roles_of(session, actor.person_id, None, now, everywhere=True)
    is_own = actor.person_id == person.person_id
    first_own = is_own and not person.public_key and person.person_id not in keys_of(session)
    if actor.role in roles and (first_own or (actor.role is Role.OFFICER and not is_own)):
        return
    raise NotAllowedError(
        "A person's first key is recorded by the person; later ones by an officer who is another "
        "person. Ask the officer, or act in a role that you have."
    )


def keys_of(session: Session) -> dict[str, frozenset[str]]:
    """Return the keys of every person with which signatures count, from the audit log."""
    entries = session.execute(
        sa.select(AuditEntry.object_id, AuditEntry.after)
        .where(AuditEntry.action == _ACTION)
        .order_by(AuditEntry.sequence)
    )
    keys: dict[str, frozenset[str]] = {}
    for person_id, after in entries:
        older = frozenset() if after.get("old_is_compromised") else keys.get(person_id, frozenset())
        keys[person_id] = older | {str(after.get("public_key", ""))}
    return keys


def _owners(session: Session) -> dict[str, str]:
    entries = session.execute(
        sa.select(AuditEntry.object_id, AuditEntry.after).where(AuditEntry.action == _ACTION)
    )
    return {str(after.get("public_key", "")): person_id for person_id, after in entries}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error

"""The encrypted file with a project's secret; whoever lacks it cannot reverse a pseudonym.

One JSON document: how the key was derived, and the sealed content. Not here: what the secret
is used for (``pseudonyms``), and where a site keeps the file (docs/decisions/0007).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from containers.contract import UsageError
from containers.scrub_headers.pseudonyms import SECRET_BYTES, DateShift, Pseudonyms

PASSPHRASE_VARIABLE = "WINXNAT_KEYS_PASSPHRASE"  # noqa: S105 - a variable's name
PASSPHRASE_FILE_VARIABLE = "WINXNAT_KEYS_PASSPHRASE_FILE"  # noqa: S105 - the same
MIN_PASSPHRASE_LENGTH = 12
_FORMAT = "winxnat-keys"
_VERSION = 1
_MAX_FILE_BYTES = 64 * 1024 * 1024
_SALT_BYTES = 16
_NONCE_BYTES = 12
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1
"""32 MiB and about 0.1 s a try; RFC 7914 section 2 names the parameters."""
_MAX_SCRYPT_N = 2**20


class KeyStoreError(UsageError):
    """The key store cannot be opened or written; the message names what to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The content of a key store, decrypted.

    Parameters
    ----------
    secret : bytes
        From which all pseudonyms are made.
    date_shift : DateShift
        The range of offsets, fixed when the store was made.
    labels : mapping
        Participant to the label given from outside; kept so that a later run finds the same.
    """

    secret: bytes
    date_shift: DateShift
    labels: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Keys(secret withheld, {len(self.labels)} participants)"

    @classmethod
    def new(cls) -> Keys:
        """Return fresh random keys."""
        return cls(secrets.token_bytes(SECRET_BYTES), DateShift.for_studies_from())

    def pseudonyms(self, participant: str, label: str | None = None) -> Pseudonyms:
        """Return the pseudonyms of a participant, with the stored label where none is given."""
        known = label or self.labels.get(participant)
        return Pseudonyms(self.secret, participant, known, self.date_shift)


def create(path: Path, passphrase: str) -> Keys:
    """Make a new key store; never replaces a file.

    Raises
    ------
    KeyStoreError
        The file exists or cannot be written, or the passphrase is short.
    """
    if len(passphrase) < MIN_PASSPHRASE_LENGTH:
        raise KeyStoreError(
            f"The passphrase of a key store needs at least {MIN_PASSPHRASE_LENGTH} characters. "
            "Choose a longer one, such as five random words."
        )
    keys = Keys.new()
    with _locked(path):
        if path.exists():
            raise KeyStoreError(
                "A key store is there already, and making a new one would break its pseudonyms. "
                "Name another file, or destroy the old one first."
            )
        _write(path, _sealed(keys, passphrase))
    return keys


def read(path: Path, passphrase: str, *, is_private_copy: bool = False) -> Keys:
    """Decrypt a key store.

    Parameters
    ----------
    is_private_copy : bool
        The file lies in a folder of this run alone, so its own rights do not matter.

    Raises
    ------
    KeyStoreError
        The file is missing, readable by others, damaged, or the passphrase is another one.
    """
    return _opened(_content(path, is_private_copy=is_private_copy), passphrase)


def remember(path: Path, passphrase: str, labels: dict[str, str]) -> Keys:
    """Add labels of participants to a key store, and return its keys.

    Raises
    ------
    KeyStoreError
        As `read`; or a participant has another label, or a label is another participant's.
    """
    with _locked(path):
        keys = read(path, passphrase)
        merged = dict(keys.labels)
        for participant, label in labels.items():
            if merged.setdefault(participant, label) != label:
                raise KeyStoreError(
                    "A participant has another label in the key store already. Use that label, "
                    "or a key store of its own for this release."
                )
        if len(set(merged.values())) != len(merged):
            raise KeyStoreError(
                "A label would stand for two participants of the key store. Choose another one."
            )
        if merged != keys.labels:
            keys = replace(keys, labels=merged)
            _write(path, _sealed(keys, passphrase))
    return keys


def change_passphrase(path: Path, old: str, new: str) -> None:
    """Seal a key store with another passphrase; secret and labels stay.

    Raises
    ------
    KeyStoreError
        As `read` and `create`.
    """
    if len(new) < MIN_PASSPHRASE_LENGTH:
        raise KeyStoreError(
            f"The new passphrase needs at least {MIN_PASSPHRASE_LENGTH} characters."
        )
    with _locked(path):
        _write(path, _sealed(read(path, old), new))


def destroy(path: Path) -> None:
    """Overwrite and delete a key store; from then on nobody can link or reverse its pseudonyms.

    Copies and backups are out of reach, and a disk may keep overwritten blocks: without the
    passphrase they stay sealed.

    Raises
    ------
    KeyStoreError
        There is no key store at this place, or it cannot be deleted.
    """
    size_bytes = len(_content(path))
    try:
        with path.open("r+b") as stream:
            stream.write(secrets.token_bytes(size_bytes))
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()
        _sync_folder(path.parent)
        _lock_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise KeyStoreError(
            f"The key store cannot be destroyed: {error.strerror}. Grant the right to write it."
        ) from None


def passphrase_from_environment() -> str | None:
    """Return the passphrase from the variable, or from the file that another variable names.

    Raises
    ------
    KeyStoreError
        The file cannot be read or is empty.
    """
    direct = os.environ.get(PASSPHRASE_VARIABLE)
    if direct:
        return direct
    file_name = os.environ.get(PASSPHRASE_FILE_VARIABLE)
    if not file_name:
        return None
    return passphrase_from_file(Path(file_name))


def passphrase_from_file(path: Path) -> str:
    """Return the passphrase in a file, without the end of its line.

    Raises
    ------
    KeyStoreError
        The file cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyStoreError(
            f"The file with the passphrase cannot be read as text ({type(error).__name__}). Name "
            "another one, or mend its rights."
        ) from None
    if not text:
        raise KeyStoreError("The file with the passphrase is empty.")
    return text


def _content(path: Path, *, is_private_copy: bool = False) -> bytes:
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            content = stream.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise KeyStoreError(
            f"The key store cannot be read: {error.strerror}. Name the file that "
            "`winxnat deid keys create` made."
        ) from None
    if status.st_mode & 0o077 and not is_private_copy:
        raise KeyStoreError(
            "Other users may read or write the key store. Take these rights away (chmod 600)."
        )
    return content


def _sealed(keys: Keys, passphrase: str) -> bytes:
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "kdf": {"name": "scrypt", "n": _SCRYPT_N, "r": _SCRYPT_R, "p": _SCRYPT_P},
        "salt": _text(salt),
        "cipher": "AES-256-GCM",
        "nonce": _text(nonce),
    }
    inside = {
        "secret": _text(keys.secret),
        "date_shift": [keys.date_shift.minimum_days, keys.date_shift.window_days],
        "labels": dict(sorted(keys.labels.items())),
    }
    sealed = AESGCM(_derived(passphrase, salt, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)).encrypt(
        nonce, json.dumps(inside).encode("ascii"), _bound(header)
    )
    document = json.dumps(header | {"sealed": _text(sealed)}, indent=1)
    return f"{document}\n".encode("ascii")


def _opened(content: bytes, passphrase: str) -> Keys:
    try:
        document = json.loads(content)
        sealed = base64.b64decode(document.pop("sealed"), validate=True)
        salt = base64.b64decode(document["salt"], validate=True)
        nonce = base64.b64decode(document["nonce"], validate=True)
        n, r, p = (int(document["kdf"][each]) for each in "nrp")
        known = (document["format"], document["version"], document["kdf"]["name"])
        if known != (_FORMAT, _VERSION, "scrypt") or not (1 < n <= _MAX_SCRYPT_N):
            raise ValueError  # noqa: TRY301 - one answer to everything that is no key store
        if (r, p) != (_SCRYPT_R, _SCRYPT_P):
            raise ValueError  # noqa: TRY301 - the same
        key = _derived(passphrase, salt, n, r, p)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyStoreError(
            "The key store is damaged, or is none: it is not in the form that this version "
            "writes. Put back a copy from before."
        ) from None
    try:
        inside = json.loads(AESGCM(key).decrypt(nonce, sealed, _bound(document)))
    except (InvalidTag, ValueError):
        raise KeyStoreError(
            "The key store does not open: the passphrase is another one, or the file was "
            "changed. Check the passphrase, or put back a copy from before."
        ) from None
    minimum_days, window_days = inside["date_shift"]
    return Keys(
        base64.b64decode(inside["secret"]), DateShift(minimum_days, window_days), inside["labels"]
    )


def _derived(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode("utf-8"))


def _bound(header: dict[str, object]) -> bytes:
    return json.dumps(header, sort_keys=True).encode("ascii")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time change a key store."""
    try:
        descriptor = os.open(_lock_path(path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyStoreError(
            f"The folder of the key store cannot be written: {error.strerror}. Name another one."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    """Replace the file whole: a stop at any moment leaves the old one or the new one."""
    try:
        # mkstemp gives rights to the owner alone.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyStoreError(
            f"The key store cannot be written: {error.strerror}. Grant the right, or make room."
        ) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

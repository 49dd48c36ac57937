"""The file of a link table: a clear header, then its encrypted lines; and the file of its key.

Not here: who may read or change the lines (``link_table``).
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import platformdirs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xnat_client.errors import BadInputError, ConflictError, NotFoundError, UsageError
from xnat_client.sharing.home import Home

KEYS_VARIABLE = "WINXNAT_LINK_KEYS"
_MAGIC = b"winxnat-link-table 1\n"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_OWNER_ONLY = 0o600


class LinkState(StrEnum):
    """Who can still use a link table."""

    OPEN = "open"
    SEALED = "sealed"
    DESTROYED = "destroyed"


@dataclass(frozen=True)
class LinkHeader:
    """What of a link table can be read without its key.

    Attributes
    ----------
    family : str
        The family of releases.
    state : LinkState
        Who can still use it.
    destroy_on : str
        Day (ISO 8601) from which it is to be destroyed; empty if it is kept.
    changed_at : str
        When the state changed last (ISO 8601, UTC).
    """

    family: str
    state: LinkState = LinkState.OPEN
    destroy_on: str = ""
    changed_at: str = ""


@dataclass(frozen=True, order=True)
class Link:
    """One line: a source subject and session, and the label in the release.

    ``session`` is empty in the line of the subject itself.
    """

    subject: str
    session: str
    label: str


def key_path(home: Home, family: str) -> Path:
    """Return where the key of a family's link table is kept, outside the records' folder.

    Raises
    ------
    UsageError
        ``WINXNAT_LINK_KEYS`` names a place inside the records' folder.
    """
    named = os.environ.get(KEYS_VARIABLE)
    folder = Path(named) if named else platformdirs.user_config_path("winxnat") / "link-keys"
    if folder.resolve().is_relative_to(home.folder.resolve()):
        raise UsageError(
            "The key of a link table must not lie in the folder of the records, where every "
            f"backup would hold both. Name another folder in {KEYS_VARIABLE}."
        )
    return folder / f"{family}.key"


def table_path(home: Home, family: str) -> Path:
    """Return where a family's link table is."""
    return home.link_tables_dir / f"{family}.links"


def read_header(home: Home, family: str) -> LinkHeader:
    """Return a table's clear part, without its key: what a check of the state needs.

    The header is authenticated only when the table is opened with its key.

    Raises
    ------
    NotFoundError, BadInputError
        As ``LinkTable.open``.
    """
    return read_table(table_path(home, family), family)[0]


def head_of(header: LinkHeader) -> bytes:
    """Return the clear part of a file."""
    return _MAGIC + json.dumps(asdict(header), sort_keys=True).encode() + b"\n"


def read_table(path: Path, family: str) -> tuple[LinkHeader, bytes, bytes]:
    """Return the header, the clear part as it stands in the file, and the encrypted lines.

    Raises
    ------
    NotFoundError, BadInputError
        There is no such file, or it is not in its form.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no link table of family {family}.") from error
    magic, _, rest = whole.partition(b"\n")
    line, _, sealed = rest.partition(b"\n")
    try:
        fields = json.loads(line)
        header = LinkHeader(**{**fields, "state": LinkState(fields["state"])})
        intact = magic + b"\n" == _MAGIC and header.family == family
    except (ValueError, TypeError, KeyError):
        intact = False
    if not intact:
        raise BadInputError(
            f"The link table of family {family} is not in its form. "
            "Somebody changed the file; restore it, and tell the custodian."
        )
    return header, _MAGIC + line + b"\n", sealed


def encrypt(key: bytes, head: bytes, plain: bytes) -> bytes:
    """Return the encrypted lines, which open with this header only."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, head)


def decrypt(key: bytes, head: bytes, sealed: bytes, family: str) -> bytes:
    """Return the lines.

    Raises
    ------
    BadInputError
        The key is another table's, or header or lines were changed.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], head)
    except (InvalidTag, ValueError) as error:
        raise BadInputError(
            f"The link table of family {family} cannot be read with this key. "
            "The key is another table's, or the file was changed; ask the custodian."
        ) from error


def read_key(path: Path, family: str) -> bytes:
    """Return a key.

    Raises
    ------
    NotFoundError
        It is not there.
    UsageError
        Others can read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii").strip()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"The key of the link table of family {family} is not where keys are kept. "
            f"The custodian can put it there, or name its folder in {KEYS_VARIABLE}."
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(
            f"The key of the link table of family {family} can be read by others. "
            "Take their rights away (chmod 600)."
        )
    return bytes.fromhex(text)


def make_key(path: Path, family: str) -> None:
    """Make a key in a file that only its owner reads; one that is there is taken as it is.

    Whoever was interrupted between key and table left a key that opens nothing yet. Taking it,
    instead of another, also keeps a table readable that is only somewhere else for now: each
    writing draws its own nonce.

    Raises
    ------
    ConflictError
        What is there is no key.
    UsageError
        Others can read it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, AESGCM.generate_key(256).hex().encode("ascii") + b"\n")
        return
    try:
        is_key = len(read_key(path, family)) == _KEY_BYTES
    except ValueError:
        is_key = False
    if not is_key:
        raise ConflictError(
            f"Where the key of family {family} belongs is a file that is no key, so it opens no "
            "table. Look at it, and take it away."
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def overwrite_and_remove(path: Path) -> None:
    """Remove a file after writing over it; one that is not there is fine."""
    with suppress(FileNotFoundError):
        size_bytes = path.stat().st_size
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(size_bytes))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()

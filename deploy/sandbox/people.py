"""Accounts, passwords, site roles, groups and alias tokens.

Not here: HTTP (``accounts``, ``logins``), and what a person may do (``rights``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

from deploy.sandbox.remembered import Remembered
from deploy.sandbox.store import Store, now_text

ADMINISTRATOR = "Administrator"
CONTAINER_MANAGER = "Container Manager"
ALL_DATA_ACCESS = "ALL_DATA_ACCESS"
ALL_DATA_ADMIN = "ALL_DATA_ADMIN"

_SCRYPT_COST = 2**13
_CACHE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class User:
    """A person (or the guest) as the rights see them at this moment."""

    id: int
    login: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    enabled: bool = True
    verified: bool = True
    last_modified: str = ""
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @property
    def is_usable(self) -> bool:
        """Return whether the account may log in."""
        return self.enabled and self.verified

    @property
    def is_guest(self) -> bool:
        """Return whether nobody is logged in."""
        return self.id == 0

    @property
    def is_admin(self) -> bool:
        """Return whether the person is a site administrator."""
        return ADMINISTRATOR in self.roles

    @property
    def is_container_manager(self) -> bool:
        """Return whether the person may administer the Container Service."""
        return self.is_admin or CONTAINER_MANAGER in self.roles

    @property
    def reads_everything(self) -> bool:
        """Return whether every project's data are readable to the person."""
        return self.is_admin or bool(self.groups & {ALL_DATA_ACCESS, ALL_DATA_ADMIN})


GUEST = User(id=0, login="guest")


@dataclass(frozen=True, slots=True)
class AliasToken:
    """A freshly issued alias token; the secret is never stored and shown only once."""

    alias: str
    secret: str
    login: str
    expires_at: float


def hash_password(password: str) -> str:
    """Return a salted scrypt hash of a password, as text (RFC 7914)."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_SCRYPT_COST, r=8, p=1)
    return f"{salt.hex()}:{digest.hex()}"


def _password_matches(password: str, stored: str | None) -> bool:
    salt_hex, _, digest_hex = (stored or "00:00").partition(":")
    digest = hashlib.scrypt(
        password.encode(), salt=bytes.fromhex(salt_hex), n=_SCRYPT_COST, r=8, p=1
    )
    return stored is not None and hmac.compare_digest(digest.hex(), digest_hex)


def _token_hash(secret: str) -> str:
    # The secret is 256 random bits: a plain hash is enough, and fast on every request.
    return hashlib.sha256(secret.encode()).hexdigest()


def is_alias(name: str) -> bool:
    """Return whether a name has the form of an alias token, which no login may have."""
    try:
        return str(uuid.UUID(name)) == name.lower()
    except ValueError:
        return False


class People:
    """The directory of accounts and their credentials."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Remembered[int, User | None] = Remembered(store)
        # Basic credentials come with every request of some clients; scrypt each time would be
        # the server's main work. Remembered: a keyed digest, in memory only, for minutes.
        # It counts only beside the hash it was checked against: a new password ends it.
        self._cache_key = secrets.token_bytes(32)
        self._verified: dict[int, tuple[bytes, str, float]] = {}

    # Accounts -------------------------------------------------------------------------------

    def by_login(self, login: str) -> User | None:
        """Return the account with this login, or None."""
        with self._store.read() as connection:
            row = connection.execute("SELECT * FROM user WHERE login = ?", (login,)).fetchone()
            return self._user(connection, row)

    def by_id(self, user_id: int) -> User | None:
        """Return the account with this number, or None."""
        return self._known.get(user_id, partial(self._find, user_id))

    def _find(self, user_id: int) -> User | None:
        with self._store.read() as connection:
            row = connection.execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone()
            return self._user(connection, row)

    def everybody(self) -> list[User]:
        """Return all accounts in order of their login."""
        with self._store.read() as connection:
            rows = connection.execute("SELECT * FROM user ORDER BY login").fetchall()
            roles, groups = defaultdict(set), defaultdict(set)
            for user_id, role in connection.execute("SELECT user_id, role FROM user_role"):
                roles[user_id].add(role)
            for user_id, group in connection.execute("SELECT user_id, group_id FROM user_group"):
                groups[user_id].add(group)
            return [self._of_row(row, roles[row["id"]], groups[row["id"]]) for row in rows]

    def _user(self, connection: sqlite3.Connection, row: sqlite3.Row | None) -> User | None:
        if row is None:
            return None
        roles = connection.execute("SELECT role FROM user_role WHERE user_id = ?", (row["id"],))
        groups = connection.execute(
            "SELECT group_id FROM user_group WHERE user_id = ?", (row["id"],)
        )
        return self._of_row(row, {role for (role,) in roles}, {group for (group,) in groups})

    @staticmethod
    def _of_row(row: sqlite3.Row, roles: set[str], groups: set[str]) -> User:
        return User(
            id=row["id"],
            login=row["login"],
            email=row["email"],
            first_name=row["first_name"],
            last_name=row["last_name"],
            enabled=bool(row["enabled"]),
            verified=bool(row["verified"]),
            last_modified=row["last_modified"],
            roles=frozenset(roles),
            groups=frozenset(groups),
        )

    def create(  # noqa: PLR0913 - the fields of an account, all by name
        self,
        login: str,
        password: str | None,
        *,
        email: str = "",
        first_name: str = "",
        last_name: str = "",
        enabled: bool = True,
        verified: bool = True,
        roles: frozenset[str] = frozenset(),
    ) -> User:
        """Create an account.

        Raises
        ------
        sqlite3.IntegrityError
            The login is taken.
        """
        hashed = hash_password(password) if password is not None else None
        with self._store.write() as connection:
            cursor = connection.execute(
                "INSERT INTO user (login, email, first_name, last_name, password_hash, enabled,"
                " verified, last_modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (login, email, first_name, last_name, hashed, enabled, verified, now_text()),
            )
            connection.executemany(
                "INSERT INTO user_role VALUES (?, ?)", [(cursor.lastrowid, r) for r in roles]
            )
        user = self.by_login(login)
        if user is None:  # pragma: no cover - the row was just written
            raise LookupError(login)
        return user

    def change(self, user: User, password: str | None, columns: dict[str, str | bool]) -> bool:
        """Change an account; return whether anything is different now.

        Parameters
        ----------
        password : str or None
            The new password, or None to keep it; the old one stops working at once.
        columns : dict
            New values of ``email``, ``first_name``, ``last_name``, ``enabled``, ``verified``.
        """
        unknown = columns.keys() - {"email", "first_name", "last_name", "enabled", "verified"}
        if unknown:
            raise ValueError(unknown)
        values: dict[str, str | bool] = dict(columns)
        if password is not None:
            values["password_hash"] = hash_password(password)
        with self._store.write() as connection:
            row = connection.execute("SELECT * FROM user WHERE id = ?", (user.id,)).fetchone()
            values = {name: value for name, value in values.items() if row[name] != value}
            if not values:
                return False
            values["last_modified"] = now_text()
            places = ", ".join(f"{name} = ?" for name in values)
            connection.execute(
                f"UPDATE user SET {places} WHERE id = ?",  # noqa: S608 - names of columns, checked above
                (*values.values(), user.id),
            )
        return True

    # Credentials ----------------------------------------------------------------------------

    def verify(self, name: str, secret: str) -> User | None:
        """Return the account for a login and password, or an alias token and its secret.

        None when they do not match, the token is over, or the account is not usable. A token
        for a single use is over after it.
        """
        if is_alias(name):
            user = self.token_owner(name, secret, use=True)
        else:
            user = self._verify_password(name, secret)
        return user if user is not None and user.is_usable else None

    def _verify_password(self, login: str, password: str) -> User | None:
        row = self._store.connection.execute(
            "SELECT id, password_hash FROM user WHERE login = ?", (login,)
        ).fetchone()
        user_id, stored = (row["id"], row["password_hash"]) if row else (0, None)
        digest = hmac.digest(self._cache_key, password.encode(), "sha256")
        known, checked, until = self._verified.get(user_id, (b"", "", 0.0))
        remembered = hmac.compare_digest(known, digest) and checked == stored
        if not (remembered and time.monotonic() < until):
            # An unknown login costs the same time as a wrong password.
            if not _password_matches(password, stored):
                return None
            self._verified[user_id] = (digest, str(stored), time.monotonic() + _CACHE_SECONDS)
        return self.by_id(user_id)

    def token_owner(self, alias: str, secret: str, *, use: bool = False) -> User | None:
        """Return whose token this is, or None when there is none, it is over, or its owner is.

        Parameters
        ----------
        use : bool
            Whether this is a log-in, which ends a token for a single use.
        """
        row = self._store.connection.execute(
            "SELECT * FROM alias_token WHERE alias = ?", (alias,)
        ).fetchone()
        if row is None or not hmac.compare_digest(row["secret_hash"], _token_hash(secret)):
            return None
        if row["expires_at"] < time.time():
            return None
        if use and row["single_use"] and not self._use_up(alias):
            return None
        owner = self.by_id(row["user_id"])
        return owner if owner is not None and owner.is_usable else None

    def _use_up(self, alias: str) -> bool:
        with self._store.write() as connection:
            deleted = connection.execute("DELETE FROM alias_token WHERE alias = ?", (alias,))
            return deleted.rowcount == 1

    # Alias tokens ---------------------------------------------------------------------------

    def issue_token(self, user: User, lifetime_s: float, parent: str | None = None) -> AliasToken:
        """Issue an alias token that acts as the user until it expires or is invalidated.

        Parameters
        ----------
        parent : str or None
            The token of who asks for this one. It ends with it: what a container was given for
            the time of its run does not live on under another name.
        """
        alias, secret = str(uuid.uuid4()), secrets.token_urlsafe(32)
        now = time.time()
        with self._store.write() as connection:
            connection.execute("DELETE FROM alias_token WHERE expires_at < ?", (now,))
            connection.execute(
                "INSERT INTO alias_token"
                " (alias, parent, secret_hash, user_id, issued_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (alias, parent, _token_hash(secret), user.id, now, now + lifetime_s),
            )
        return AliasToken(alias, secret, user.login, now + lifetime_s)

    def token_is_live(self, alias: str) -> bool:
        """Return whether a token exists and has not expired."""
        row = self._store.connection.execute(
            "SELECT 1 FROM alias_token WHERE alias = ? AND expires_at >= ?", (alias, time.time())
        ).fetchone()
        return row is not None

    def end_tokens(self, user: User) -> None:
        """End all alias tokens of a user."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM alias_token WHERE user_id = ?", (user.id,))

    def invalidate_token(self, alias: str) -> bool:
        """End a token; return whether there was one."""
        return self._use_up(alias)

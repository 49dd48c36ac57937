"""Where the user name and password come from, and which place was used.

Not here: the log-in itself (``transport``). A password is never taken from a command-line
argument, where other users of the machine could read it.
"""

from __future__ import annotations

import getpass
import netrc
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from xnat_client.errors import UsageError

ENVIRONMENT_PAIRS = (("XNAT_USER", "XNAT_PASS"), ("XNATPY_USER", "XNATPY_PASS"))
"""Names of the variables; the first pair is what the Container Service gives a container."""

KEYRING_SERVICE = "winxnat"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password (or an alias token and its secret), and where they were found.

    ``source`` is a phrase for people, such as ``environment variable XNAT_PASS``.
    """

    user: str
    password: str = field(repr=False)
    source: str = "argument"


def find_credentials(
    server_url: str,
    user: str | None = None,
    password: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    ask: bool | None = None,
) -> Credentials:
    """Find the credentials for a server: argument, environment, netrc, keyring, question.

    Parameters
    ----------
    server_url : str
        Address of the server; netrc entries are looked up by its host name, keyring entries
        under the service ``winxnat:<address>``.
    user, password : str or None
        What the Python caller gave. With a user only, just a password of that user is taken.
    environment : Mapping or None
        None for the process's own.
    ask : bool or None
        Whether a question may be asked; None for "if stdin and stderr are a terminal".

    Raises
    ------
    UsageError
        No place holds a user name and password, or the netrc file cannot be read.
    """
    if user is not None and password is not None:
        return Credentials(user, password, "argument")
    if password is not None:
        raise UsageError("A password was given without a user name. Give both.")
    known = os.environ if environment is None else environment
    host = urlsplit(server_url).hostname or ""
    lookups: tuple[Callable[[], Credentials | None], ...] = (
        lambda: _from_environment(known, user),
        lambda: _from_netrc(known, host, user),
        lambda: _from_keyring(server_url, known, user),
    )
    for look_up in lookups:
        found = look_up()
        if found is not None:
            return found
    may_ask = (sys.stdin.isatty() and sys.stderr.isatty()) if ask is None else ask
    if may_ask:
        return _from_question(host, user or _environment_user(known))
    raise UsageError(
        f"No {'password for the given user' if user else 'user name and password'} for {host} was "
        "found. Set XNAT_USER and XNAT_PASS, or add the host to ~/.netrc, or store the password "
        f"with: keyring set {KEYRING_SERVICE}:{server_url} USER"
    )


def _environment_user(environment: Mapping[str, str]) -> str | None:
    return next((environment[name] for name, _ in ENVIRONMENT_PAIRS if environment.get(name)), None)


def _from_environment(environment: Mapping[str, str], user: str | None) -> Credentials | None:
    for user_name, password_name in ENVIRONMENT_PAIRS:
        found_user, password = environment.get(user_name), environment.get(password_name)
        if found_user and password and user in (None, found_user):
            return Credentials(found_user, password, f"environment variable {password_name}")
    return None


def _from_netrc(environment: Mapping[str, str], host: str, user: str | None) -> Credentials | None:
    named = environment.get("NETRC")
    path = Path(named) if named else Path.home() / ".netrc"
    if not path.is_file():
        if named:
            raise UsageError("The file that NETRC names does not exist. Correct or unset NETRC.")
        return None
    try:
        entry = netrc.netrc(str(path)).authenticators(host)
    except netrc.NetrcParseError as error:
        # The parser quotes the word it stumbled on, which may be a password: not chained.
        raise UsageError(
            f"The netrc file cannot be read: line {error.lineno or 0} is not understood, or other "
            "users may read the file. Correct it and allow only yourself: chmod 600."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The netrc file cannot be read ({type(error).__name__}). Correct it or unset NETRC."
        ) from None
    if entry is None or not entry[0] or not entry[2] or user not in (None, entry[0]):
        return None
    return Credentials(entry[0], entry[2], "netrc file")


def _from_keyring(
    server_url: str, environment: Mapping[str, str], user: str | None
) -> Credentials | None:
    # Slow to import and needed only when the cheaper places hold nothing.
    import keyring  # noqa: PLC0415  # see the line above
    import keyring.errors  # noqa: PLC0415  # see the line above

    name = user or _environment_user(environment)
    try:
        entry = keyring.get_credential(f"{KEYRING_SERVICE}:{server_url}", name)
    except keyring.errors.KeyringError:
        # A machine without a usable keyring is the normal case on servers.
        return None
    if entry is None or not entry.username or not entry.password:
        return None
    if name not in (None, entry.username):
        return None
    return Credentials(entry.username, entry.password, "keyring")


def _from_question(host: str, user: str | None) -> Credentials:
    if user is None:
        sys.stderr.write(f"User name for {host}: ")
        sys.stderr.flush()
        user = sys.stdin.readline().strip()
    password = getpass.getpass(f"Password for {host}: ", stream=sys.stderr)
    if not user or not password:
        raise UsageError("No user name or password was typed in.")
    return Credentials(user, password, "question on the terminal")

"""Starting and stopping a sandbox server as a process of its own.

Not here: the server (``deploy.sandbox``) and the command line (``deploy.sandbox_cli``).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

ADMIN_USER = "admin"
LOOPBACK = "127.0.0.1"
PASSWORD_VARIABLE = "WINXNAT_SANDBOX_PASSWORD"  # noqa: S105 - the variable's name
SERVER_FILE_NAME = "server.json"
LOCK_FILE_NAME = "server.lock"
LOG_FILE_NAME = "server.log"
NETRC_FILE_NAME = "admin.netrc"
DATABASE_FILE_NAME = "sandbox.sqlite"
REQUESTS_FILE_NAME = "requests.log"
INCOMPLETE_FILE_NAME = "incomplete"
"""There while a seed is being applied; what a cut-off one left behind counts for nothing."""
USERS_DIR_NAME = "users"

# What a start that came to nothing may leave in a folder.
_REMAINS = frozenset(
    {SERVER_FILE_NAME, LOCK_FILE_NAME, LOG_FILE_NAME, NETRC_FILE_NAME, REQUESTS_FILE_NAME}
)

# Servers that this process started: they must be reaped when they end.
_children: dict[Path, subprocess.Popen[bytes]] = {}

# One that ends is noticed at once; this is for machines on which a second's work takes a minute.
_START_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.02


class SandboxError(Exception):
    """A sandbox cannot be started, stopped or reset; the message says why and what to do."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers.

    ``netrc_path`` holds the administrator's password in netrc form, readable by its owner only.
    """

    url: str
    pid: int
    engine: str
    root: Path

    @property
    def netrc_path(self) -> Path:
        """Return the file with the administrator's credentials."""
        return self.root / NETRC_FILE_NAME

    @property
    def log_path(self) -> Path:
        """Return the server's log."""
        return self.root / LOG_FILE_NAME

    @property
    def requests_path(self) -> Path:
        """Return the log of requests."""
        return self.root / REQUESTS_FILE_NAME

    @property
    def users_dir(self) -> Path:
        """Return the folder of the netrc files of the seed's users."""
        return self.root / USERS_DIR_NAME

    @property
    def is_incomplete(self) -> bool:
        """Return whether a seed is being applied, or was cut off."""
        return (self.root / INCOMPLETE_FILE_NAME).exists()

    def netrc_of(self, login: str) -> Path:
        """Return the netrc file of a user of the seed whose password was made up."""
        return self.users_dir / f"{login}.netrc"


def default_dir() -> Path:
    """Return the folder of the sandbox that is used when none is named."""
    return Path(platformdirs.user_data_dir("winxnat")) / "sandbox"


def admin_password(root: Path) -> str:
    """Return the administrator's password of the sandbox in this folder.

    Raises
    ------
    SandboxError
        There is no sandbox in the folder.
    """
    try:
        return read_password(root / NETRC_FILE_NAME)
    except OSError as error:
        raise SandboxError(
            f"There is no sandbox in {root}. Start one: winxnat sandbox start --dir {root}"
        ) from error


def read_password(netrc_path: Path) -> str:
    """Return the password in a netrc file that ``write_netrc`` made."""
    words = netrc_path.read_text().split()
    return words[words.index("password") + 1]


def write_netrc(path: Path, login: str, password: str, host: str = LOOPBACK) -> None:
    """Write a netrc file for a server that listens on a host, which only its owner can read."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as netrc:
        netrc.write(f"machine {host}\nlogin {login}\npassword {password}\n")
    partial.replace(path)


def running(root: Path) -> RunningSandbox | None:
    """Return the sandbox that runs on this folder, or None."""
    if not _lock_is_held(root):
        return None
    try:
        server = json.loads((root / SERVER_FILE_NAME).read_text())
    except OSError:
        return None  # it is starting or stopping
    return RunningSandbox(server["url"], server["pid"], server["engine"], root)


def _lock_is_held(root: Path) -> bool:
    # The server holds the lock for as long as it lives: a left-over file or a reused process
    # number cannot be mistaken for a running server.
    try:
        with (root / LOCK_FILE_NAME).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def require_new(root: Path) -> None:
    """Return if a new sandbox may be made in this folder and removed again with all in it.

    Raises
    ------
    SandboxError
        Something is in it.
    """
    try:
        found = {path.name for path in root.iterdir()} if root.exists() else set()
    except OSError as error:
        raise SandboxError(
            f"Cannot read the folder {root}: {error.strerror}. Choose another --dir."
        ) from error
    if DATABASE_FILE_NAME in found:
        raise SandboxError(
            f"A seed fills a new sandbox, and {root} holds one. Start it without a seed, delete it "
            f"(winxnat sandbox reset --dir {root}), or choose another --dir."
        )
    if found - _REMAINS:
        raise SandboxError(
            f"A seed fills a new sandbox, and {root} holds something else. Choose another --dir."
        )


def complete(root: Path) -> None:
    """Note that the sandbox's seed was applied as a whole."""
    (root / INCOMPLETE_FILE_NAME).unlink()


def start(
    root: Path,
    *,
    port: int = 0,
    engine: str = "auto",
    host: str = LOOPBACK,
    incomplete: bool = False,
) -> RunningSandbox:
    """Start a sandbox in the background and wait until it answers.

    Parameters
    ----------
    root : Path
        Its folder; made when absent, continued when it holds a sandbox.
    port : int
        0 takes a free one.
    engine : str
        ``auto``, ``docker`` or ``process``.
    host : str
        Address of this machine to listen on. Any but the loopback lets others in.
    incomplete : bool
        Whether a seed is about to be applied: until ``complete``, no other start continues it.

    Raises
    ------
    SandboxError
        It runs already, cannot write its folder, the port is taken, Docker was asked for and does
        not answer, or the sandbox is what a cut-off seed left behind.
    """
    try:
        if (already := running(root)) is not None:
            raise SandboxError(
                f"A sandbox runs on {root} already, at {already.url}. "
                "Use it, stop it (winxnat sandbox stop), or choose another --dir."
            )
        if (root / INCOMPLETE_FILE_NAME).exists():
            raise SandboxError(
                f"The seed of the sandbox in {root} was cut off, so that it is not whole. Delete "
                f"it: winxnat sandbox reset --dir {root}"
            )
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = _ensure_password(root)
        write_netrc(root / NETRC_FILE_NAME, ADMIN_USER, password, host)
        if incomplete:
            (root / INCOMPLETE_FILE_NAME).touch()
        (root / SERVER_FILE_NAME).unlink(missing_ok=True)
        with (root / LOG_FILE_NAME).open("ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "deploy.sandbox", "--dir", str(root)),
                    *("--host", host, "--port", str(port), "--engine", engine),
                ],
                env={**os.environ, PASSWORD_VARIABLE: password},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise SandboxError(
            f"Cannot write the sandbox's folder {root}: {error.strerror}. Choose another --dir."
        ) from error
    _reap(root)
    _children[root] = process
    return _wait_until_it_answers(root, process, log_start)


def _reap(root: Path) -> None:
    child = _children.pop(root, None)
    if child is not None:
        child.wait(timeout=_STOP_S)


def _ensure_password(root: Path) -> str:
    path = root / NETRC_FILE_NAME
    if path.exists():
        return admin_password(root)
    if (root / DATABASE_FILE_NAME).exists():
        raise SandboxError(
            f"The sandbox in {root} has lost its {NETRC_FILE_NAME}. Put it back, or start afresh: "
            f"winxnat sandbox reset --dir {root}"
        )
    password = os.environ.get(PASSWORD_VARIABLE) or secrets.token_urlsafe(18)
    if not password.isascii() or any(c.isspace() or c in "\"'#" for c in password):
        raise SandboxError(
            f"The password in {PASSWORD_VARIABLE} cannot stand in a netrc file: use letters, "
            "digits and punctuation without blanks, quotes or '#'."
        )
    return password


def _wait_until_it_answers(
    root: Path, process: subprocess.Popen[bytes], log_start: int
) -> RunningSandbox:
    deadline = time.monotonic() + _START_S
    while (server := running(root)) is None:
        if process.poll() is not None:
            said = (root / LOG_FILE_NAME).read_bytes()[log_start:].decode(errors="replace")
            last = said.strip().splitlines()[-1:] or ["It said nothing."]
            _reap(root)
            raise SandboxError(f"The sandbox did not start. {last[0]}")
        if time.monotonic() > deadline:
            process.kill()
            _reap(root)
            raise SandboxError(
                f"The sandbox did not answer within {_START_S:.0f} s and was stopped. "
                f"Its log: {root / LOG_FILE_NAME}"
            )
        time.sleep(_POLL_S)
    return server


def stop(root: Path) -> bool:
    """Stop the sandbox of this folder; return whether one ran.

    Raises
    ------
    SandboxError
        It belongs to another user.
    """
    server = running(root)
    if server is None:
        return False
    try:
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while _lock_is_held(root):
            if time.monotonic() > deadline:
                os.kill(server.pid, signal.SIGKILL)
                deadline += _STOP_S
            time.sleep(_POLL_S)
    except ProcessLookupError:
        pass  # it ended by itself between two looks
    except PermissionError as error:
        raise SandboxError(
            f"The sandbox on {root} belongs to another user, who must stop it."
        ) from error
    _reap(root)
    (root / SERVER_FILE_NAME).unlink(missing_ok=True)
    return True


def reset(root: Path) -> None:
    """Stop the sandbox of this folder and delete all its data.

    Raises
    ------
    SandboxError
        The folder holds no sandbox, so nothing in it is touched.
    """
    if not any((root / name).exists() for name in (DATABASE_FILE_NAME, INCOMPLETE_FILE_NAME)):
        raise SandboxError(f"{root} holds no sandbox; nothing was deleted.")
    stop(root)
    shutil.rmtree(root)

"""The client's errors: one class for each reaction of the caller.

Tree, with the exit code of the command line::

    XnatClientError            1  report it to us
    ├── UsageError             2  call it differently (address, label, option, credentials)
    ├── BadInputError          3  mend the files; nothing was sent
    ├── NotFoundError          5  correct the name, or ask for access
    ├── NotAllowedError        5  ask the project owner for the right
    ├── NotLoggedInError       5  correct the user name or password
    ├── ConflictError          5  choose another name, or say that it may be added to
    ├── UnreachableError       5  check address and network, try again later
    ├── RefusedError           5  read what the server says; its answer is not what was asked for
    └── RunFailedError         5  read the log of the container

Sharing adds one of its own, ``xnat_client.sharing.errors.RefusedByPolicyError``, with 4.

The numbers mean what they mean for ``winxnat-step`` and ``winxnat run``: 0 done, 1 our fault,
2 wrong usage, 3 bad input, 4 unsafe: the sharing policy refuses and nothing was opened, 5
something we rely on (here: the server) did not do it. 6 (out of resources) is never used by the
client. 130 is an interruption by Ctrl-C.
"""

from __future__ import annotations

from typing import Any

EXIT_DONE = 0
EXIT_OUR_FAULT = 1
EXIT_WRONG_USAGE = 2
EXIT_BAD_INPUT = 3
EXIT_UNSAFE = 4
EXIT_SERVER_FAILED = 5
EXIT_INTERRUPTED = 130


class XnatClientError(Exception):
    """Root of the client's errors.

    Messages are sentences for people and hold no name, birth date, patient identifier,
    password, token or cookie.

    Parameters
    ----------
    message : str
        What was being done, what was found, what to do now.
    status : int or None
        HTTP status of the answer that led here, if there was one.
    details : str
        What the server said, shortened and without secrets; empty if it said nothing.
    """

    exit_code = EXIT_OUR_FAULT

    def __init__(self, message: str, *, status: int | None = None, details: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.details = details
        self.document: dict[str, Any] = {}
        """What a command line adds for machines to the sentence."""


class UsageError(XnatClientError):
    """The call itself is wrong: an address, a label, an option, missing credentials."""

    exit_code = EXIT_WRONG_USAGE


class BadInputError(XnatClientError):
    """The local files are not what is needed; nothing was sent, or the sending was broken off."""

    exit_code = EXIT_BAD_INPUT


class NotFoundError(XnatClientError):
    """The server has no such thing, or hides it from this account."""

    exit_code = EXIT_SERVER_FAILED


class NotAllowedError(XnatClientError):
    """The account may see the thing but not do this to it."""

    exit_code = EXIT_SERVER_FAILED


class NotLoggedInError(XnatClientError):
    """The server does not accept the user name and password, or the log-in ended."""

    exit_code = EXIT_SERVER_FAILED


class ConflictError(XnatClientError):
    """Something of that name is there already."""

    exit_code = EXIT_SERVER_FAILED


class UnreachableError(XnatClientError):
    """No answer from the server."""

    exit_code = EXIT_SERVER_FAILED


class RefusedError(XnatClientError):
    """The server answered, but did not do what was asked, or holds something else."""

    exit_code = EXIT_SERVER_FAILED


class RunFailedError(XnatClientError):
    """A container run ended without success.

    Parameters
    ----------
    workflow_id, run_status : str
        As the server gives them.
    stderr_tail : str
        The last lines the container wrote to stderr; empty if there are none.
    """

    exit_code = EXIT_SERVER_FAILED

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        run_status: str,
        details: str = "",
        stderr_tail: str = "",
    ) -> None:
        super().__init__(message, details=details)
        self.workflow_id = workflow_id
        self.run_status = run_status
        self.stderr_tail = stderr_tail

"""The refusal of the sharing policy; all other errors are the client's (``xnat_client.errors``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xnat_client.errors import EXIT_UNSAFE, XnatClientError

if TYPE_CHECKING:
    from xnat_client.sharing.finding import Finding


class RefusedByPolicyError(XnatClientError):
    """The sharing policy does not allow it; nothing was changed, nothing was opened.

    Parameters
    ----------
    findings : tuple of Finding
        What is not met or unknown: who must do what. Empty if the message says it all.
    """

    exit_code = EXIT_UNSAFE

    def __init__(self, message: str, *, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings

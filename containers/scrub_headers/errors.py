"""What ends the scrubbing of one file; the caller lists the file and goes on with the next."""

from __future__ import annotations


class RefusedFileError(Exception):
    """A file cannot be vouched for, so nothing is written for it.

    Parameters
    ----------
    reason : str
        A sentence without any value of the file, fit for reports.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

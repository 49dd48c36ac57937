"""Regular expressions that users of the server write, with a limit of time for each look.

The standard library's expressions can take exponential time, and hold the interpreter while they
do; these give up. Not here: the server's own expressions, which are known to be harmless.
"""

from __future__ import annotations

import re

import regex

MAX_SECONDS = 0.5
"""For one expression on one text; what people mean takes microseconds."""
MAX_CHARACTERS = 2000


class ExpressionError(Exception):
    """A text is no regular expression, or it takes too long."""


class Expression:
    """A regular expression of a user's.

    Parameters
    ----------
    code : str
        In Python's notation, which has what Java's users mostly write.
    ignore_case : bool
        Whether letters match whatever their case.
    flags : int
        Further flags, of the module ``re``.

    Raises
    ------
    ExpressionError
        It is none, or longer than ``MAX_CHARACTERS``.
    """

    def __init__(self, code: str, *, ignore_case: bool = False, flags: int = 0) -> None:
        if len(code) > MAX_CHARACTERS:
            raise ExpressionError(f"it is longer than {MAX_CHARACTERS} characters")
        kept = flags & (re.ASCII | re.IGNORECASE | re.MULTILINE | re.DOTALL)
        wanted = kept | (re.IGNORECASE if ignore_case else 0)
        try:
            self._compiled = regex.compile(code, wanted)
        except (regex.error, RecursionError, OverflowError) as error:
            raise ExpressionError("it is no regular expression") from error

    def search(self, text: str) -> regex.Match[str] | None:
        """Return the first match in a text; ExpressionError when that takes too long."""
        try:
            return self._compiled.search(text, timeout=MAX_SECONDS)
        except TimeoutError as error:
            raise ExpressionError("it takes too long") from error

    def fits(self, text: str) -> bool:
        """Return whether the whole text matches; ExpressionError when that takes too long."""
        try:
            return self._compiled.fullmatch(text, timeout=MAX_SECONDS) is not None
        except TimeoutError as error:
            raise ExpressionError("it takes too long") from error

"""Answers kept in memory for as long as no object, person or right changes.

Clients ask hundreds of times on behalf of one person about one session; what that person may do
there is the same each time. Not here: what counts as a change (``store``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from deploy.sandbox.store import Store

MAX_KEPT = 4096

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Remembered(Generic[_Key, _Value]):
    """Answers by their question, all forgotten at the next change; safe for threads.

    The answers are shared: nobody may change one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Replaced as a whole: an answer that comes late falls into the answers of its own time.
        self._kept: tuple[int, dict[_Key, _Value]] = (-1, {})

    def get(self, key: _Key, find: Callable[[], _Value]) -> _Value:
        """Return the kept answer, else that of ``find``, which is kept unless it raises."""
        standing = self._store.standing
        if standing is None:
            return find()
        kept_at, answers = self._kept
        if kept_at != standing or len(answers) >= MAX_KEPT:
            answers = {}
            self._kept = (standing, answers)
        if key in answers:
            return answers[key]
        found = find()
        answers[key] = found
        return found

"""An item of the wanted state, the difference to the server, and closing it.

An item reads one thing of the server, compares it with what the file says, and writes it. All
else of the server is never written. Not here: which items a file has (``parts``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from deploy.site.errors import SiteError
from xnat_client.errors import NotAllowedError, XnatClientError

_LONGEST = 200
"""Characters of a value that are shown."""


class Rank(IntEnum):
    """When an item is written: what closes comes before what opens.

    A sudden end in the middle then leaves a site that is narrower than wanted, never wider.
    """

    PROJECT = 10
    CLOSING = 20
    PLAIN = 50
    LEAVING = 55
    ENABLING = 60
    LISTENING = 70
    OPENING = 90


def _in_words(value: Any) -> str:
    return _words(value)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that the file wants.

    Attributes
    ----------
    address : str
        What it is, like ``projects.P.accessibility``.
    where : str
        ``file:line`` of it.
    wanted : Any
        The wanted value, JSON-like; compared with ``==``.
    read : callable
        Returns the present value; None where the thing is not there.
    write : callable
        Is given the present value and makes it the wanted one.
    needs : str
        Who may read and write it, for messages.
    show : callable
        A value in a few words.
    """

    address: str
    where: str
    wanted: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]
    rank: Rank = Rank.PLAIN
    needs: str = "an administrator of the server"
    show: Callable[[Any], str] = _in_words


@dataclass(frozen=True, slots=True)
class Change:
    """A difference: what is there, and what the file wants instead."""

    address: str
    where: str
    action: str
    before: str
    after: str

    def document(self) -> dict[str, str]:
        """Return the change for machines."""
        return {
            "address": self.address,
            "action": self.action,
            "before": self.before,
            "after": self.after,
            "where": self.where,
        }


def find_changes(items: Sequence[Item]) -> list[Change]:
    """Return what differs, in the order in which it would be written; writes nothing.

    Raises
    ------
    SiteError
        The server does not tell; the message names the line.
    """
    found = []
    for item in in_order(items):
        before = _asked(item, "compare", item.read)
        if before != item.wanted:
            found.append(_change(item, before))
    return found


def apply_changes(items: Sequence[Item], tell: Callable[[Change], None]) -> int:
    """Write what differs, read each back, and return how many there were.

    Parameters
    ----------
    tell : callable
        Is told each change that was made and proved.

    Raises
    ------
    SiteError
        The server refuses one, or holds something else afterwards; those before it are made,
        and applying the file again goes on from there.
    """
    count = 0
    for item in in_order(items):
        before = _asked(item, "compare", item.read)
        if before == item.wanted:
            continue
        _asked(item, "change", lambda item=item, before=before: item.write(before))  # type: ignore[misc] # mypy infers no type for a default
        after = _asked(item, "read back", item.read)
        if after != item.wanted:
            raise SiteError(
                f"{item.where}: {item.address} was set to {item.show(item.wanted)}, but the "
                f"server holds {item.show(after)}. Look at the server; nothing after it was "
                "changed."
            )
        count += 1
        tell(_change(item, before))
    return count


def in_order(items: Sequence[Item]) -> Iterator[Item]:
    """Yield items in the order of their ranks, otherwise as the file has them."""
    yield from sorted(items, key=lambda item: item.rank)


def _asked(item: Item, verb: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except NotAllowedError as error:
        raise SiteError(
            f"{item.where}: cannot {verb} {item.address}: this needs {item.needs}. Log in as one, "
            "or take it out of the file."
        ) from error
    except XnatClientError as error:
        raise SiteError(f"{item.where}: {item.address}: {error}") from error


def _change(item: Item, before: Any) -> Change:
    if before is None:
        action = "create"
    elif item.wanted in ([], None):
        action = "remove"
    else:
        action = "change"
    old, new = before, item.wanted
    if item.show is _in_words:
        old, new = _what_differs(before, item.wanted)
    return Change(item.address, item.where, action, item.show(old), item.show(new))


def _what_differs(before: Any, wanted: Any) -> tuple[Any, Any]:
    """Return only the keys that differ, where both values have the same ones."""
    both = isinstance(before, dict) and isinstance(wanted, dict)
    if not both or before.keys() != wanted.keys():
        return before, wanted
    keys = [key for key in wanted if before[key] != wanted[key]]
    return {key: before[key] for key in keys}, {key: wanted[key] for key in keys}


def _words(value: Any) -> str:
    if value is None:
        return "(not there)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items()) or "(empty)"
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(each) for each in value) or "(none)"
    # What a server holds may be written by anybody: no control characters, and not without end.
    text = "".join(each if each.isprintable() else " " for each in str(value))
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...") or "(empty)"

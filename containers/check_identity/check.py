"""Checks a whole tree and says how each criterion stands.

Not here: looking at one file (``inspector``), and showing the result (``page``).
"""

from __future__ import annotations

import functools
import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from containers.check_identity.context import CheckSettings
from containers.check_identity.criteria import all_criteria
from containers.check_identity.inspector import Inspector
from containers.check_identity.known import KnownKind, KnownStrings
from containers.check_identity.processes import Entry, inspect_all, worker_count
from containers.check_identity.result import CheckResult, Ledger, Place
from containers.check_identity.search.matcher import Matcher

__all__ = ["CheckSettings", "check_tree"]

_NO_KNOWN = "No known strings were given, so that their absence proves nothing."
_SYSTEM_ATTRIBUTES = ("security.", "system.")


def check_tree(
    root: Path,
    known: KnownStrings,
    *,
    criteria: Iterable[int] | None = None,
    settings: CheckSettings | None = None,
    workers: int | None = None,
) -> CheckResult:
    """Check every file below a folder against the criteria.

    Parameters
    ----------
    root : Path
        The folder; nothing in it is changed.
    known : KnownStrings
        The identity strings of the study; without any, criteria 3, 8 and 9 are unknown.
    criteria : iterable of int, optional
        Numbers of the criteria that count; all by default. Everything is checked in any case.
    settings : CheckSettings, optional
        What may be in the tree, and limits.
    workers : int, optional
        Processes at a time; as many as there are processors by default. A small tree is checked
        in this process. The findings do not depend on it.

    Raises
    ------
    ValueError
        A number is not that of a criterion.
    OSError
        The folder itself cannot be listed. A file that cannot be read is unknown, not an error.

    Notes
    -----
    Memory is bounded by the largest header, text or window, not by the largest file. Unpacked
    members above 16 MB go to the folder for temporary files.
    """
    chosen = None if criteria is None else frozenset(criteria)
    unknown = (chosen or frozenset()) - {each.id for each in all_criteria()}
    if unknown:
        raise ValueError(f"no criteria of the numbers {sorted(unknown)}")
    ledger = Ledger()
    matcher = Matcher(known)
    inspector = Inspector(ledger, known, matcher, settings or CheckSettings())
    next(root.iterdir(), None)
    entries = list(_entries(root))
    file_count = sum(not is_folder for _, is_folder in entries)
    bytes_searched = left_out = 0
    kinds: Counter[str] = Counter()
    inspect = functools.partial(_inspect_entry, root)
    for part in inspect_all(
        entries, inspector, inspect, worker_count() if workers is None else workers
    ):
        ledger.add(part.ledger)
        bytes_searched += part.bytes_searched
        left_out += part.left_out
        kinds.update(part.kinds)
    _doubt_what_was_not_compared(ledger, known, matcher, file_count)
    return CheckResult(
        outcomes=ledger.outcomes(chosen),
        file_count=file_count,
        bytes_searched=bytes_searched,
        kinds=dict(sorted(kinds.items())),
        known_count=len(known.strings) - len(matcher.unsearchable),
        notes=_notes(known, matcher, left_out),
    )


def _entries(root: Path) -> Iterable[tuple[Path, bool]]:
    """Yield every entry below a folder in a stable order; links are not followed."""

    def refuse(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    unreadable: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=refuse):
        folders.sort()
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        yield from ((here / name, True) for name in folders if name not in links)
        yield from ((here / name, False) for name in sorted([*files, *links]))
    # A folder that cannot be listed counts as a file that cannot be read.
    yield from ((path, False) for path in unreadable)


def _inspect_entry(root: Path, entry: Entry, inspector: Inspector) -> None:
    path, is_folder = entry
    relative = path.relative_to(root).as_posix()
    inspector.inspect_name(relative)
    if not is_folder:
        _inspect_path(path, relative, inspector, inspector.ledger)


def _inspect_path(path: Path, relative: str, inspector: Inspector, ledger: Ledger) -> None:
    shown = inspector.safe_path(relative)
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            ledger.fail(27, Place(shown, "", "a symbolic link"))
            inspector.inspect_link(relative, str(path.readlink()))
            return
        if not stat.S_ISREG(mode):
            ledger.doubt(26, Place(shown, "", "neither file nor folder, or it cannot be listed"))
            return
        if _has_attributes(path):
            ledger.fail(27, Place(shown, "", "extended attributes"))
        with path.open("rb") as stream:
            inspector.inspect_file(stream, relative)
    except OSError as error:
        what = f"it cannot be read ({type(error).__name__})"
        ledger.doubt(26, Place(shown, "", what))


def _has_attributes(path: Path) -> bool:
    if not hasattr(os, "listxattr"):
        return False
    try:
        names = os.listxattr(path)
    except OSError:
        return False
    return any(not name.startswith(_SYSTEM_ATTRIBUTES) for name in names)


def _doubt_what_was_not_compared(
    ledger: Ledger, known: KnownStrings, matcher: Matcher, file_count: int
) -> None:
    if not file_count:
        ledger.doubt_all(26, "There is no file: nothing was checked.")
    if not len(known.strings) - len(matcher.unsearchable):
        for criterion in (3, 8):
            ledger.doubt_all(criterion, _NO_KNOWN)
    too_short = known.too_short + len(matcher.unsearchable)
    if too_short:
        reason = f"{too_short} of the known strings are too short or too common to be searched for."
        for criterion in (3, 8):
            ledger.doubt_all(criterion, reason)


def _notes(known: KnownStrings, matcher: Matcher, left_out: int) -> tuple[str, ...]:
    notes = []
    too_short = known.too_short + len(matcher.unsearchable)
    if too_short:
        notes.append(f"Known strings too short or too common to be searched for: {too_short}.")
    if known.left_to_rules:
        notes.append(
            "Known strings that are a sex, an age, a hand, an ordinal or a single letter, and are "
            f"judged by where they stand: {known.left_to_rules}."
        )
    if left_out:
        notes.append(
            "Matches left out, because a text that short occurs by chance among voxels or inside "
            f"long numbers: {left_out}."
        )
    if known.strings and not any(each.kind is KnownKind.DATE for each in known.strings):
        notes.append("No known date was given; dates were judged by their form only.")
    return tuple(notes)

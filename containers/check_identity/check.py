"""Checks a whole tree and says how each criterion stands.

Not here: looking at one file (``inspector``), and showing the result (``page``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from containers.check_identity.context import CheckSettings
from containers.check_identity.criteria import all_criteria
from containers.check_identity.inspector import Inspector
from containers.check_identity.known import KnownKind, KnownStrings
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
    file_count = 0
    next(root.iterdir(), None)
    for path, is_folder in _entries(root):
        relative = path.relative_to(root).as_posix()
        inspector.inspect_name(relative)
        if is_folder:
            continue
        file_count += 1
        _inspect_path(path, relative, inspector, ledger)
    _doubt_what_was_not_compared(ledger, known, matcher, file_count)
    return CheckResult(
        outcomes=ledger.outcomes(chosen),
        file_count=file_count,
        bytes_searched=inspector.bytes_searched,
        kinds=dict(sorted(inspector.kinds.items())),
        known_count=len(known.strings) - len(matcher.unsearchable),
        notes=_notes(known, matcher, inspector),
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


def _notes(known: KnownStrings, matcher: Matcher, inspector: Inspector) -> tuple[str, ...]:
    notes = []
    too_short = known.too_short + len(matcher.unsearchable)
    if too_short:
        notes.append(f"Known strings too short or too common to be searched for: {too_short}.")
    if inspector.left_out:
        notes.append(
            "Matches left out, because a text that short occurs by chance among voxels or inside "
            f"long numbers: {inspector.left_out}."
        )
    if known.strings and not any(each.kind is KnownKind.DATE for each in known.strings):
        notes.append("No known date was given; dates were judged by their form only.")
    return tuple(notes)

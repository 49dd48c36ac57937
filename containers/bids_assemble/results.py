"""Finds the BIDS results of sessions below a folder, each with the report of its run.

The report says which files the last run wrote, with their checksums: a resource in XNAT may
still hold those of earlier runs under other names. Not here: whether results fit together
(``fitting``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from containers.contract import REPORT_FILE_NAME, BadInputError

SESSION_COMMANDS = ("dicom-to-bids", "eeg-to-bids")
ASSEMBLED_BY = "winxnat bids-assemble"
DESCRIPTION = "dataset_description.json"

_REPORT_DIRS = MappingProxyType({"BIDS": "BIDS_REPORT", "bids": "report"})
"""Where a result's report lies: as resources of a session in XNAT, or as a run leaves it."""
READ_FOLDERS = tuple(name for pair in _REPORT_DIRS.items() for name in pair)
"""Folders of these names hold everything that this step reads."""
_NO_RESULTS = frozenset({"SCANS"})
"""Folders of an XNAT archive with many files and no results of sessions."""
_TREE = "bids/"
_SUBJECT_LEVEL = 2
_ROOT_FILES = frozenset(
    {DESCRIPTION, "README", "README.md", "CHANGES", "participants.tsv", "participants.json"}
)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a result: its path below the tree's root, size and SHA-256."""

    path: PurePosixPath
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What one session's conversion left.

    ``given_subject`` and ``given_session`` are the labels as XNAT has them, for comparison only;
    ``subject`` and ``session`` those of the tree, the latter None without a session level.
    """

    root: Path
    files: tuple[TreeFile, ...]
    subject: str
    session: str | None
    given_subject: str | None
    given_session: str | None
    finished_on: str
    map_digest: str | None
    description: Mapping[str, Any]

    @property
    def session_files(self) -> tuple[TreeFile, ...]:
        """Return the files of the session itself, without those that tell of several."""
        return tuple(file for file in self.files if not _is_shared(file.path))

    @property
    def place(self) -> str:
        """Return the folder of the session in the dataset."""
        return f"sub-{self.subject}" + (f"/ses-{self.session}" if self.session else "")


@dataclass(frozen=True, slots=True)
class Found:
    """All results, the roots of earlier assemblies, and how many trees have no report."""

    results: tuple[SessionResult, ...]
    assembled: tuple[Path, ...]
    unreported_count: int


def find_results(folder: Path) -> Found:
    """Look for results at any depth, in the layout of an XNAT archive or of local runs.

    Raises
    ------
    BadInputError
        There are none, or a report does not fit its tree.
    """
    results: list[SessionResult] = []
    assembled: list[Path] = []
    unreported_count = 0
    for root in _trees(folder):
        description = _read_json(root / DESCRIPTION)
        if _is_assembled(description):
            assembled.append(root)
            continue
        report = _report(root)
        if report is None:
            unreported_count += 1
        else:
            results.append(_result(root, description, report))
    if not results:
        raise BadInputError(
            "Cannot assemble a dataset: the folder holds no BIDS result of a session with its "
            "report. Convert the sessions first; each needs its resources BIDS and BIDS_REPORT."
        )
    ordered = sorted(results, key=lambda result: (result.place, str(result.root)))
    return Found(tuple(ordered), tuple(assembled), unreported_count)


def _trees(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NO_RESULTS)
        if DESCRIPTION in files:
            folders.clear()
            if Path(parent).name in _REPORT_DIRS:
                yield Path(parent)


def _is_assembled(description: Mapping[str, Any]) -> bool:
    made_by = description.get("GeneratedBy")
    listed = made_by if isinstance(made_by, list) else []
    return any(isinstance(each, dict) and each.get("Name") == ASSEMBLED_BY for each in listed)


def _report(root: Path) -> Mapping[str, Any] | None:
    path = root.parent / _REPORT_DIRS[root.name] / REPORT_FILE_NAME
    if not path.is_file():
        return None
    report = _read_json(path)
    return report if report.get("command") in SESSION_COMMANDS else None


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadInputError(
            f"Cannot assemble a dataset: {path.name} of a session cannot be read as JSON; "
            "convert that session again."
        )
    return document


def _result(root: Path, description: Mapping[str, Any], report: Mapping[str, Any]) -> SessionResult:
    try:
        files = tuple(_tree_files(report["outputs"]))
        parameters, facts = report["parameters"], report["facts"]
        finished_on = str(report["finished_at"])[:10]
        given = [parameters.get(f"{kind}-label") for kind in ("subject", "session")]
        digest = facts.get("map_sha256") or None
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            "Cannot assemble a dataset: the report of a session is not one of this version; "
            "convert that session again."
        ) from error
    subject, session = _labels(files)
    return SessionResult(
        root=root,
        files=files,
        subject=subject,
        session=session,
        given_subject=None if given[0] is None else str(given[0]).strip(),
        given_session=None if given[1] is None else str(given[1]).strip(),
        finished_on=finished_on,
        map_digest=None if digest is None else str(digest),
        description=description,
    )


def _tree_files(outputs: Iterable[Mapping[str, Any]]) -> Iterator[TreeFile]:
    for output in outputs:
        written = str(output["path"])
        if not written.startswith(_TREE):
            continue
        path = PurePosixPath(written.removeprefix(_TREE))
        if path.is_absolute() or ".." in path.parts:
            raise BadInputError(
                "Cannot assemble a dataset: the report of a session names a file outside its "
                "tree; convert that session again."
            )
        yield TreeFile(path, int(output["size_bytes"]), str(output["sha256"]))


def _is_shared(path: PurePosixPath) -> bool:
    """Tell whether a file is made anew for the whole: at the top, or a subject's sessions."""
    depth = len(path.parts)
    return depth == 1 or (depth == _SUBJECT_LEVEL and path.stem.endswith("_sessions"))


def _labels(files: Iterable[TreeFile]) -> tuple[str, str | None]:
    """Return the labels that all files of a tree share.

    Raises
    ------
    BadInputError
        There are none, or those of several sessions.
    """
    found: set[tuple[str, str | None]] = set()
    for file in files:
        first, *rest = file.path.parts
        if len(file.path.parts) == 1:
            if first not in _ROOT_FILES:
                raise BadInputError(
                    "Cannot assemble a dataset: a session's tree has files at its top that "
                    "would hold for all sessions; convert that session again."
                )
            continue
        if _is_shared(file.path):
            continue
        session = rest[0].removeprefix("ses-") if rest[0].startswith("ses-") else None
        found.add((first.removeprefix("sub-"), session))
    if len(found) != 1:
        raise BadInputError(
            f"Cannot assemble a dataset: a tree holds {len(found)} sessions, one is needed; "
            "convert each session on its own."
        )
    return found.pop()

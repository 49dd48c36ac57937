"""Writes the dataset: each session's verified files, and what belongs to the whole.

The same results give the same bytes. Not here: whether the results fit (``fitting``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from commands.version import distribution_version
from containers.bids_assemble.changes import Release, changes_text
from containers.bids_assemble.results import (
    ASSEMBLED_BY,
    DESCRIPTION,
    SessionResult,
    TreeFile,
)
from containers.bids_assemble.tables import Row, merged_row, read_table, table_text
from containers.contract import BadInputError

_CHUNK_BYTES = 1 << 20
_README = """\
# {name}

Subjects: {subjects}. Sessions: {sessions}. Each was converted on its own; assembled by winxnat
{version}. What is left out of a session, and why, stands in that session's own report.

Faces are as they were measured, unless the sessions say otherwise: remove them before this data
set leaves the people who may see them.
"""


def write_dataset(
    root: Path, results: Sequence[SessionResult], name: str, earlier_changes: str
) -> tuple[str, ...]:
    """Write the dataset below ``root``; return what a person should know.

    Parameters
    ----------
    results : sequence of SessionResult
        That fit together; one for each session.
    earlier_changes : str
        CHANGES of the last assembly, or nothing.

    Raises
    ------
    BadInputError
        A file is missing, or is not what the report says.
    """
    root.mkdir(parents=True)
    for result in results:
        for file in result.session_files:
            _copy_verified(result, file, root)
    warnings = _write_tables(root, results)
    _write_description(root, results, name)
    subjects = len({result.subject for result in results})
    readme = _README.format(
        name=name,
        subjects=subjects,
        sessions=len(results),
        version=distribution_version(),
    )
    (root / "README.md").write_text(readme, encoding="utf-8")
    release = Release(
        content=_content_digest(results),
        released_on=max(result.finished_on for result in results),
        line=f"Subjects: {subjects}; sessions: {len(results)}",
    )
    (root / "CHANGES").write_text(changes_text(earlier_changes, release), encoding="utf-8")
    return warnings


def _copy_verified(result: SessionResult, file: TreeFile, root: Path) -> None:
    source, target = result.root / file.path, root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with source.open("rb") as read, target.open("xb") as written:
            while chunk := read.read(_CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                written.write(chunk)
    except FileNotFoundError:
        size_bytes = -1
    if size_bytes != file.size_bytes or digest.hexdigest() != file.sha256:
        raise _not_as_reported(file, is_missing=size_bytes < 0)


def _write_tables(root: Path, results: Sequence[SessionResult]) -> tuple[str, ...]:
    participants: list[Row] = []
    warnings: list[str] = []
    described: dict[str, Any] = {}
    for subject, group in groupby(
        sorted(results, key=lambda result: result.subject), key=lambda result: result.subject
    ):
        visits = list(group)
        label = f"sub-{subject}"
        rows = [
            row
            for visit in visits
            for row in read_table(_verified(visit, "participants.tsv"))
            if row.get("participant_id") == label
        ]
        row, differing = merged_row([{"participant_id": label}, *rows])
        participants.append(row)
        warnings += [
            f"{label}: {column} differs between its sessions and is n/a in participants.tsv."
            for column in differing
        ]
        sessions = [_session_row(visit) for visit in visits if visit.session]
        if sessions:
            text = table_text("session_id", sessions)
            (root / label / f"{label}_sessions.tsv").write_text(text, encoding="utf-8")
        for visit in visits:
            described = {**_described(visit), **described}
    columns = {name for row in participants for name in row}
    kept = {name: value for name, value in described.items() if name in columns}
    kept.setdefault("participant_id", {"Description": "Label of the subject in this data set"})
    (root / "participants.tsv").write_text(
        table_text("participant_id", participants), encoding="utf-8"
    )
    _write_json(root / "participants.json", kept)
    return tuple(warnings)


def _session_row(visit: SessionResult) -> Row:
    name = f"ses-{visit.session}"
    rows = read_table(_verified(visit, f"sub-{visit.subject}/sub-{visit.subject}_sessions.tsv"))
    row, _ = merged_row(
        [{"session_id": name}, *(row for row in rows if row.get("session_id") == name)]
    )
    return row


def _verified(result: SessionResult, path: str) -> Path | None:
    """Return a file that the run wrote and nobody changed; None where the run wrote none."""
    file = next((file for file in result.files if str(file.path) == path), None)
    if file is None:
        return None
    source = result.root / path
    digest = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else None
    if digest != file.sha256:
        raise _not_as_reported(file, is_missing=digest is None)
    return source


def _not_as_reported(file: TreeFile, *, is_missing: bool) -> BadInputError:
    state = "is missing" if is_missing else "was changed after the conversion"
    return BadInputError(
        f"Cannot assemble a dataset: {file.path} {state}, by the report of its session; "
        "convert that session again."
    )


def _described(visit: SessionResult) -> Mapping[str, Any]:
    path = _verified(visit, "participants.json")
    try:
        document = json.loads(path.read_text("utf-8")) if path else {}
    except ValueError as error:
        raise BadInputError(
            f"Cannot assemble a dataset: participants.json of {visit.place} is no JSON; convert "
            "that session again."
        ) from error
    return document if isinstance(document, dict) else {}


def _write_description(root: Path, results: Sequence[SessionResult], name: str) -> None:
    versions = {str(result.description.get("BIDSVersion", "")) for result in results}
    made_by = {
        json.dumps(each, sort_keys=True): each
        for result in results
        for each in result.description.get("GeneratedBy", [])
    }
    own = {"Name": ASSEMBLED_BY, "Version": distribution_version()}
    _write_json(
        root / DESCRIPTION,
        {
            "BIDSVersion": max(versions, key=_version_order),
            "DatasetType": "raw",
            "GeneratedBy": [own, *(made_by[key] for key in sorted(made_by))],
            "Name": name,
        },
    )


def _version_order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _content_digest(results: Iterable[SessionResult]) -> str:
    """Return a checksum of all files of the sessions, by path."""
    lines = sorted(f"{file.sha256}  {file.path}\n" for each in results for file in each.files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")

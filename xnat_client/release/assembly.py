"""Putting finished sessions together as one dataset, checking it, and writing its manifest.

All of it happens in quarantine; only a folder that is whole is moved to where releases are. Not
here: the sessions (``session_work``), records (``recording``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from xnat_client.errors import RefusedError
from xnat_client.release import checks, dataset_files, manifest, signature, tree
from xnat_client.release.dataset_files import PROSE, Terms
from xnat_client.release.manifest import FileRecord, ManifestError
from xnat_client.release.request import BuildRequest, EvidenceResult, Refusal
from xnat_client.release.search import Searcher
from xnat_client.release.session_work import SessionOutcome
from xnat_client.release.spellings import Secret
from xnat_client.sharing.home import Home

RELEASE_DIR, TEXTS_DIR = "release", "texts"


@dataclass(frozen=True, slots=True)
class Finished:
    """A session that came through all steps."""

    tree_dir: Path
    outcome: SessionOutcome


@dataclass(frozen=True, slots=True)
class Material:
    """What a release is made of.

    Attributes
    ----------
    secrets : collection of Secret
        All that must be nowhere.
    participants : sequence of mapping
        Rows of ``participants.tsv``.
    """

    request: BuildRequest
    terms: Terms
    finished: Sequence[Finished]
    refusals: Sequence[Refusal]
    participants: Sequence[Mapping[str, str]]
    secrets: Collection[Secret] = field(repr=False)
    version: str
    day: date


@dataclass(frozen=True, slots=True)
class Assembled:
    """A release folder in quarantine, whole, with what its checks found."""

    folder: Path
    manifest_sha256: str
    files: Sequence[FileRecord]
    evidence: Sequence[EvidenceResult]
    criteria_version: str


def assemble(home: Home, material: Material, work_dir: Path) -> Assembled:
    """Make the release's folder below ``work_dir``; the site's key signs its manifest.

    Raises
    ------
    RefusedError
        Two sessions have the same file, or the folder cannot be a release.
    """
    root = work_dir / RELEASE_DIR
    for folder in (root, work_dir / TEXTS_DIR, work_dir / "scratch"):
        shutil.rmtree(folder, ignore_errors=True)
    (work_dir / "scratch").mkdir()
    root.mkdir()
    for each in material.finished:
        _add_tree(each.tree_dir, root)
    found = _findings(material)
    searcher = Searcher(material.secrets)
    _write_dataset(material, root, found, searcher)
    evidence, criteria_version = _check(material, root, work_dir, found, searcher)
    _write_summary(material, root, evidence, criteria_version)
    evidence[:] = _search_again(root, evidence, found, searcher, material.version)
    try:
        digest, files = manifest.write(root, material.request.family, material.request.version)
    except ManifestError as error:
        raise RefusedError(
            f"The folder cannot be a release: {searcher.hides(str(error))}"
        ) from None
    signature.write(home, root)
    _forget_times(root)
    if manifest.verify(root, digest):
        raise RefusedError("Files of the release changed while it was built. Build it again.")
    return Assembled(root, digest, files, evidence, criteria_version)


def _add_tree(tree_dir: Path, root: Path) -> None:
    for path in tree.files_of(tree_dir):
        target = root / path.relative_to(tree_dir)
        if target.exists():
            raise RefusedError(
                "Two sessions of a participant have the same file in the release. Convert them "
                "with session labels of their own."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _findings(material: Material) -> checks.Findings:
    faces: dict[str, str] = {}
    not_measured: dict[str, str] = {}
    measured: set[str] = set()
    for each in material.finished:
        faces |= each.outcome.faces
        not_measured |= each.outcome.not_measured
        measured |= {row["image"] for row in each.outcome.quality}
    return checks.Findings(faces, measured, not_measured, tuple(material.refusals))


def _write_dataset(
    material: Material, root: Path, found: checks.Findings, searcher: Searcher
) -> None:
    request = material.request
    # Where somebody was scanned on the day of the build, that day is a secret too.
    day = None if searcher.text(f"on {material.day}.") else material.day
    dataset_files.write_texts(root, request, material.terms, material.version, day)
    dataset_files.write_participants(root, material.participants, request.columns)
    defaced = {tree.stem_of(Path(image)): state for image, state in found.faces.items()}
    rows: list[dict[str, str]] = [
        {**row, "defaced": "yes" if defaced.get(row["image"]) == "defaced" else "no"}
        for each in material.finished
        for row in each.outcome.quality
    ]
    dataset_files.write_quality(root, rows, found.not_measured)
    dataset_files.write_ignored(root)


def _check(
    material: Material,
    root: Path,
    work_dir: Path,
    found: checks.Findings,
    searcher: Searcher,
) -> tuple[list[EvidenceResult], str]:
    version, scratch = material.version, work_dir / "scratch"
    evidence = [
        checks.bids(root, scratch, found, version),
        checks.tables(root, found, version),
        checks.faces(root, found, version),
        checks.quality(root, found, version),
        checks.secrets(searcher.folder(root, PROSE), (), found, version),
    ]
    texts_dir = work_dir / TEXTS_DIR
    checks.split_texts(root, texts_dir)
    checked = [
        checks.check_identity(root, material.secrets, scratch, is_prose=False),
        checks.check_identity(texts_dir, material.secrets, scratch, is_prose=True),
    ]
    checks.join_texts(root, texts_dir)
    criteria_version = checked[0].criteria_version
    evidence.append(checks.headers(checked, found, f"{version} criteria {criteria_version}"))
    return evidence, criteria_version


def _write_summary(
    material: Material, root: Path, evidence: Sequence[EvidenceResult], criteria_version: str
) -> None:
    tools: dict[str, str] = {}
    for each in material.finished:
        tools |= each.outcome.tools
    counts = {
        "participants": len(material.participants),
        "sessions": len(material.finished),
        "sessions_refused": len(material.refusals),
    }
    dataset_files.write_summary(root, evidence, counts, tools, criteria_version)


def _search_again(
    root: Path,
    evidence: Sequence[EvidenceResult],
    found: checks.Findings,
    searcher: Searcher,
    version: str,
) -> list[EvidenceResult]:
    """Search the summary too, and what the evidence says of itself, before any of it is kept."""
    result = searcher.folder(root, PROSE)
    more = [f"the evidence of {one.check_id}" for one in evidence if searcher.text(repr(one))]
    kept = [hidden(one, searcher) for one in evidence if one.check_id != "secrets"]
    return [*kept, checks.secrets(result, more, found, version)]


def hidden(result: EvidenceResult, searcher: Searcher) -> EvidenceResult:
    """Return a result with whatever holds a secret withheld from its detail."""

    def of(value: Any) -> Any:
        if isinstance(value, str):
            return searcher.hides(value)
        if isinstance(value, dict):
            return {searcher.hides(str(key)): of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [of(each) for each in value]
        return value

    return EvidenceResult(
        result.check_id, result.check_version, result.outcome, result.files, of(dict(result.detail))
    )


def _forget_times(root: Path) -> None:
    """Give every file and folder the time 0: the order of the work must not be told."""
    for path in sorted(root.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))
    os.utime(root, (0, 0))

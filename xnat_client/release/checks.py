"""The checks of a built release, and what each of them finds: six kinds of evidence.

Whatever is not known is not met: a step that refused a session, a place that could not be
searched, an image that nobody accounts for. Not here: the searching and measuring itself.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnat_client.errors import UsageError
from xnat_client.release import disclosure, secret_strings, tree, validator
from xnat_client.release.dataset_files import PROSE
from xnat_client.release.request import BuildRequest, EvidenceResult, Refusal
from xnat_client.release.search import Searcher, SearchResult
from xnat_client.release.spellings import Secret, SecretKind
from xnat_client.release.steps import run_step
from xnat_client.sharing import evidence
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.vocabulary import Outcome

_SHOWN = 30
_TEXT_CRITERIA = "3,4,5,26,27,28"
"""Of prose that the site wrote: authors, links and days of the release are meant to be there."""
_LONG_WORD = 8
_UID = re.compile(r"\d+(\.\d+){3,}")


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """What ``check-identity`` said of a folder."""

    is_safe: bool
    criteria_version: str
    unmet: dict[str, int]
    said: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checks are told of the sessions.

    Attributes
    ----------
    faces, not_measured : mapping
        Image (path in the release) to what was done about its face, and why it has no measures.
    measured : collection of str
        Names, without ending, of what has measures.
    """

    faces: Mapping[str, str]
    measured: Collection[str]
    not_measured: Mapping[str, str]
    refusals: Sequence[Refusal]


def check_identity(
    folder: Path, known: Iterable[Secret], scratch_dir: Path, *, is_prose: bool
) -> IdentityCheck:
    """Run the command ``check-identity`` over a folder with all known strings.

    Always as a process here: the strings are the study's secrets, and go nowhere else.

    Parameters
    ----------
    is_prose : bool
        The folder holds the site's texts: parts of names are then not looked for, as they may
        be ordinary words, and only the criteria on known strings and kinds of file count.
    """
    known_path = scratch_dir / "known.json"
    known_path.unlink(missing_ok=True)
    told = [each for each in known if not _is_short_word(each)]
    if is_prose:
        told = [_for_prose(each) for each in told if not _UID.fullmatch(each.text)]
    secret_strings.write_known_file(known_path, told)
    out_dir = scratch_dir / f"identity-{'texts' if is_prose else 'data'}"
    options = {"known": str(known_path)}
    if is_prose:
        options["criteria"] = _TEXT_CRITERIA
    try:
        run = run_step("check-identity", (folder, out_dir), options, scratch_dir / "tmp")
    finally:
        known_path.unlink()
    report_path = out_dir / "report" / "check-identity.json"
    if not report_path.is_file():
        return IdentityCheck(is_safe=False, criteria_version="", unmet={}, said=run.said)
    report = json.loads(report_path.read_text(encoding="utf-8"))
    unmet = {
        str(each["id"]): int(each["count"])
        for each in report["criteria"]
        if each["checked_here"]
        and each["severity"] == "block"
        and each["status"] in {"fail", "unknown"}
    }
    return IdentityCheck(run.is_done, str(report["criteria_version"]), unmet, run.said)


def _is_short_word(secret: Secret) -> bool:
    """Tell whether an identifier is a short word, such as a project's, like ``memory``.

    ``check-identity`` looks for one within other words too and would find it in names of BIDS'
    own; the second search looks for it as a word.
    """
    text = secret.text
    return secret.kind is SecretKind.ID and text.isalpha() and len(text) < _LONG_WORD


def _for_prose(secret: Secret) -> Secret:
    if secret.kind is not SecretKind.NAME:
        return secret
    return Secret(SecretKind.TEXT, " ".join(re.split(r"[\s^=]+", secret.text)))


def headers(checked: Sequence[IdentityCheck], found: Findings, version: str) -> EvidenceResult:
    """Return the evidence that no identity is in any header, table or name."""
    unmet: Counter[str] = Counter()
    for each in checked:
        unmet.update(each.unmet)
    outcome = Outcome.MET if checked and all(one.is_safe for one in checked) else Outcome.NOT_MET
    detail: dict[str, Any] = {"criteria_not_met": len(unmet), "places_by_criterion": dict(unmet)}
    said = [one.said for one in checked if not one.is_safe and not one.unmet and one.said]
    if said:
        detail["said"] = said
    return _with_refusals("headers", version, outcome, detail, found)


def secrets(
    result: SearchResult, more: Sequence[str], found: Findings, version: str
) -> EvidenceResult:
    """Return the evidence that no secret string of the study is anywhere.

    Parameters
    ----------
    more : sequence of str
        What else speaks against it: a find in a report or message.
    """
    is_met = result.is_clean and not more and result.strings > 0
    detail: dict[str, Any] = {
        "strings": result.strings,
        "spellings": result.spellings,
        "not_looked_for": result.too_common,
        "files_searched": result.files,
        "places": len(result.places),
        "not_searchable": len(result.not_searchable),
        "first_places": [
            {"path": one.path, "kind": one.kind, "inside": one.inside, "byte": one.byte}
            for one in result.places[:_SHOWN]
        ],
        "first_not_searchable": dict(list(result.not_searchable.items())[:_SHOWN]),
        "other": list(more),
    }
    outcome = Outcome.MET if is_met else Outcome.NOT_MET
    return _with_refusals("secrets", version, outcome, detail, found)


def faces(root: Path, found: Findings, version: str) -> EvidenceResult:
    """Return the evidence that every image that may show a face was defaced."""
    images = _covered(root, CheckId.FACES)
    without = [image for image in images if image not in found.faces]
    counts = Counter(found.faces[image] for image in images if image in found.faces)
    detail: dict[str, Any] = {"images": len(images), "without_evidence": len(without)}
    detail |= {"by_finding": dict(sorted(counts.items())), "first_without": without[:_SHOWN]}
    outcome = Outcome.NOT_NEEDED if not images else Outcome.NOT_MET if without else Outcome.MET
    return _with_refusals("faces", version, outcome, detail, found)


def tables(root: Path, found: Findings, version: str) -> EvidenceResult:
    """Return the evidence that no table singles anybody out."""
    result = disclosure.check_tables(root)
    detail: dict[str, Any] = {
        "tables": result.tables,
        "people": result.people,
        "columns": list(result.columns),
        "problems": len(result.problems),
        "first_problems": list(result.problems[:_SHOWN]),
    }
    if result.smallest_group is not None:
        detail["smallest_group"] = result.smallest_group
    outcome = Outcome.MET if result.is_safe else Outcome.NOT_MET
    return _with_refusals("tables", version, outcome, detail, found)


def quality(root: Path, found: Findings, version: str) -> EvidenceResult:
    """Return the evidence that quality was measured, or is listed as not measured."""
    images = _covered(root, CheckId.QUALITY)
    missing = [image for image in images if tree.stem_of(Path(image)) not in found.measured]
    silent = [image for image in missing if image not in found.not_measured]
    detail = {
        "images": len(images),
        "measured": len(images) - len(missing),
        "listed_as_not_measured": len(missing) - len(silent),
    }
    outcome = Outcome.NOT_NEEDED if not images else Outcome.NOT_MET if silent else Outcome.MET
    return _with_refusals("quality", version, outcome, detail, found)


def _covered(root: Path, check: CheckId) -> list[str]:
    """Return what the check must account for: images, and whatever may be a picture of one."""
    paths = (path.relative_to(root).as_posix() for path in tree.files_of(root))
    return [path for path in paths if evidence.covers(check, path)]


def bids(root: Path, scratch_dir: Path, found: Findings, version: str) -> EvidenceResult:
    """Return the evidence that the official validator finds no error."""
    verdict = validator.validate(root, scratch_dir)
    detail = {
        "errors": sum(verdict.errors.values()),
        "warnings": sum(verdict.warnings.values()),
        "errors_by_code": verdict.errors,
        "warnings_by_code": verdict.warnings,
    }
    outcome = Outcome.NOT_MET if verdict.errors else Outcome.MET
    return _with_refusals("bids", f"{version} {verdict.version}", outcome, detail, found)


def nothing_built(found: Findings, version: str) -> list[EvidenceResult]:
    """Return the evidence of a build that no session came out of: nothing is met."""
    return [
        _with_refusals(name, version, Outcome.NOT_MET, {"files": 0}, found)
        for name in ("headers", "faces", "secrets", "tables", "quality", "bids")
    ]


def _with_refusals(
    name: str, version: str, outcome: Outcome, detail: Mapping[str, Any], found: Findings
) -> EvidenceResult:
    """Add the sessions that a step refused: their absence is not what was asked for."""
    mine = [one for one in found.refusals if one.check == name]
    # A step that failed for another reason says nothing; the release is not what was asked for.
    if name == "bids":
        mine += [one for one in found.refusals if one.check == "build"]
    more: dict[str, Any] = {"sessions_refused": len(mine)}
    if mine:
        more["reasons"] = dict(Counter(one.reason for one in mine).most_common(_SHOWN))
        more["participants"] = sorted({one.participant for one in mine})
        outcome = Outcome.NOT_MET
    return EvidenceResult(name, version, outcome, 0, {**detail, **more})


def split_texts(root: Path, target: Path) -> None:
    """Move the prose out of the release folder, so that data and prose are checked apart."""
    for name in sorted(PROSE):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).rename(target / name)


def join_texts(root: Path, texts_dir: Path) -> None:
    """Move the prose back."""
    for path in tree.files_of(texts_dir):
        path.rename(root / path.relative_to(texts_dir))
    tree.drop_empty_folders(texts_dir)


def refuse_telling_texts(request: BuildRequest, searcher: Searcher) -> None:
    """Refuse a name or text of the request that holds a secret of the study itself.

    Raises
    ------
    UsageError
        One does; which is not said, as the message would repeat it.
    """
    texts = [request.family, request.release_project, *_texts(request.citation)]
    if any(searcher.text(text) for text in texts):
        raise UsageError(
            "The name of the family, the release project or a text of the citation holds a label, "
            "number or name of the source project. Choose others: they will be public."
        )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)

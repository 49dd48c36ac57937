"""The files that describe a release as a whole: BIDS' own, licence, citation, quality, checks.

Their content comes from the request and the records of sharing; nothing of the source project is
in it. Not here: participants' data (``assembly``), the manifest (``manifest``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from xnat_client.release.request import BuildRequest, Column, EvidenceResult

BIDS_VERSION = "1.10.0"
_LICENCE_ADDRESSES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/legalcode",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/legalcode",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
}
_COLUMN_TEXTS: dict[Column, Mapping[str, Any]] = {
    Column.AGE_BAND: {
        "Description": "Age at the first session, in bands of ten years; 89+ is all above 89",
        "Units": "years",
    },
    Column.SEX: {
        "Description": "Sex as the participant or the scanner's registration has it",
        "Levels": {"male": "male", "female": "female", "other": "other"},
    },
    Column.HANDEDNESS: {
        "Description": "Hand that the participant prefers",
        "Levels": {"right": "right", "left": "left", "ambidextrous": "both"},
    },
    Column.GROUP: {"Description": "Group of the study"},
}
PROSE = frozenset(
    """
    README.md CHANGES LICENSE DUA.md CITATION.cff dataset_description.json participants.json
    qc/winqc.json
    """.split()  # noqa: SIM905  # a list of this length is read better as text
)
"""Texts of the site, the study and this program, about no participant."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The text that readers agree to; empty where there is none."""

    name: str = ""
    version: str = ""
    text: str = ""
    sha256: str = ""


def write_texts(
    folder: Path, request: BuildRequest, terms: Terms, version: str, day: date | None
) -> None:
    """Write the files that are prose: description, README, CHANGES, licence or agreement, citation.

    Parameters
    ----------
    version : str
        Of this program.
    day : date or None
        Of the build, for CHANGES; None if it must not be told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "dataset_description.json", _description(request, terms, version))
    (folder / "README.md").write_text(_readme(request, terms, version), encoding="utf-8")
    head = f"{request.version} {day or ''}".rstrip()
    changes = f"{head}\n  - {_change(request)}\n"
    (folder / "CHANGES").write_text(changes, encoding="utf-8")
    if request.licence:
        (folder / "LICENSE").write_text(_licence(request.licence), encoding="utf-8")
    if terms.text:
        head = f"Agreement {terms.name}, version {terms.version}, SHA-256 {terms.sha256}\n\n"
        (folder / "DUA.md").write_text(head + terms.text.rstrip() + "\n", encoding="utf-8")
    if request.citation.get("creators") and request.citation.get("title"):
        (folder / "CITATION.cff").write_text(_citation(request), encoding="utf-8")


def _description(request: BuildRequest, terms: Terms, version: str) -> dict[str, Any]:
    citation = request.citation
    document: dict[str, Any] = {
        "Name": str(citation.get("title") or request.family),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [
            {
                "Name": "winxnat release build",
                "Version": version,
                "Description": "De-identified copies with new random labels",
            }
        ],
    }
    names = [_name(each) for each in citation.get("creators", ())]
    # Where CITATION.cff is, BIDS wants authors and licence there and not here.
    if names and not citation.get("title"):
        document["Authors"] = names
    if not names:
        document["License"] = _licence_name(request, terms)
    if citation.get("funding"):
        document["Funding"] = _list(citation["funding"])
    if citation.get("ethics"):
        document["EthicsApprovals"] = _list(citation["ethics"])
    if citation.get("acknowledgements"):
        document["Acknowledgements"] = str(citation["acknowledgements"])
    return document


def _licence_name(request: BuildRequest, terms: Terms) -> str:
    if request.licence:
        return request.licence
    if terms.text:
        return f"Data use agreement {terms.name}, version {terms.version} (DUA.md)"
    return "For named people only; ask the study's lead"


def _name(creator: object) -> str:
    return str(creator.get("name", "")) if isinstance(creator, Mapping) else str(creator)


def _list(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]


_README = """# {title}
{description}
Release {family} {version}, level of sharing: {level}. The data are organised by the Brain Imaging
Data Structure {bids}.

## What was done to the data

All files are copies. Labels are new and random. Headers, tables and names hold only what lists
allow; head images were defaced, or are of a kind that shows no face; dates are gone. The copies
were then searched for what identifies the people behind them. `evidence/summary.json` has the
outcome of each check, and `qc/` the quality of each image, with a list of those that were not
measured.

A defaced head can still be matched with another image of the same head. Do not try to find out
who these people are.

## Terms

{terms}

## Whether your copy is whole

    sha256sum -c manifest.sha256

or `winxnat release verify FOLDER`. The SHA-256 of `manifest.json` names this release.

Made with winxnat {program}.
"""


def _readme(request: BuildRequest, terms: Terms, version: str) -> str:
    citation = request.citation
    description = str(citation.get("description") or "")
    return _README.format(
        title=citation.get("title") or request.family,
        description=f"\n{description}\n" if description else "",
        family=request.family,
        version=request.version,
        level=request.level.word,
        bids=BIDS_VERSION,
        terms=_licence_name(request, terms),
        program=version,
    )


def _change(request: BuildRequest) -> str:
    return str(request.citation.get("change") or "Built from the sessions that may be shared.")


def _licence(name: str) -> str:
    address = _LICENCE_ADDRESSES.get(name, "")
    more = f"\nThe text of the licence: {address}\n" if address else ""
    return f"This dataset is made available under the licence {name}.\n{more}"


def _citation(request: BuildRequest) -> str:
    """Return the Citation File Format 1.2.0; texts are written as JSON, which YAML reads."""
    citation = request.citation
    lines = [
        "cff-version: 1.2.0",
        'message: "If you use these data, cite them as below."',
        "type: dataset",
        f"title: {json.dumps(str(citation['title']), ensure_ascii=False)}",
        f'version: "{request.version}"',
    ]
    if request.licence in _LICENCE_ADDRESSES and request.licence != "CC0":
        lines.append(f"license: {request.licence}")
    lines.append("authors:")
    for creator in citation["creators"]:
        lines.append(f"  - name: {json.dumps(_name(creator), ensure_ascii=False)}")
        orcid = str(creator.get("orcid", "")) if isinstance(creator, Mapping) else ""
        if orcid:
            lines.append(f'    orcid: "https://orcid.org/{orcid.rpartition("/")[2]}"')
    return "\n".join(lines) + "\n"


def write_participants(
    folder: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[Column]
) -> None:
    """Write ``participants.tsv`` and its dictionary."""
    names = ["participant_id", *(column.value for column in columns)]
    write_table(folder / "participants.tsv", names, rows)
    texts: dict[str, Any] = {"participant_id": {"Description": "Random label of the participant"}}
    texts |= {column.value: _COLUMN_TEXTS[column] for column in columns}
    _write_json(folder / "participants.json", texts)


def write_quality(
    folder: Path, rows: Sequence[Mapping[str, str]], missing: Mapping[str, str]
) -> None:
    """Write ``qc/``: winqc's measures of all images, their meaning, and what was not measured."""
    from qc.definitions import DEFINITIONS  # noqa: PLC0415  # needed by builds only

    target = folder / "qc"
    target.mkdir()
    first = ["image", "modality", "defaced", "software", "version", "pipeline", "protocol_hash"]
    measured = sorted({name for row in rows for name in row} - set(first))
    if rows:
        ordered = sorted(rows, key=lambda row: row["image"])
        write_table(target / "winqc.tsv", [*first, *measured], ordered)
        meanings = {
            name: {"Description": DEFINITIONS[name].meaning, "Units": DEFINITIONS[name].unit}
            for name in measured
            if name in DEFINITIONS
        }
        _write_json(target / "winqc.json", meanings)
    not_measured = [{"image": image, "reason": missing[image]} for image in sorted(missing)]
    if not_measured:
        _write_json(target / "not_measured.json", not_measured)


def write_summary(
    folder: Path,
    results: Iterable[EvidenceResult],
    counts: Mapping[str, int],
    tools: Mapping[str, str],
    criteria_version: str,
) -> None:
    """Write ``evidence/summary.json``: outcome and counts of each check, no person, no place."""
    document = {
        "criteria_version": criteria_version,
        "counts": dict(sorted(counts.items())),
        "steps": dict(sorted(tools.items())),
        "checks": {
            one.check_id: {
                "outcome": one.outcome.value,
                "version": one.check_version,
                "counts": {k: v for k, v in one.detail.items() if isinstance(v, int)},
            }
            for one in results
        },
    }
    target = folder / "evidence"
    target.mkdir(exist_ok=True)
    _write_json(target / "summary.json", document)


def write_ignored(folder: Path) -> None:
    """Tell BIDS' validator which files are not BIDS' own."""
    names = ("qc", "evidence", "DUA.md", "manifest.json", "manifest.sha256", "manifest.sig.json")
    (folder / ".bidsignore").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_table(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table as BIDS has it: tabs, a line of names, ``n/a`` for what is missing."""
    lines = ["\t".join(names)]
    lines += ["\t".join(row.get(name) or "n/a" for name in names) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_json(path: Path, document: object) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")

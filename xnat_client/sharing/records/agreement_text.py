"""The file of an agreement: a header of fields in YAML between two lines ``---``, then the text.

Each clause of the header stands in the text as a heading ``### 1. Title [clause-id]``, in the same
order and numbered from 1, so that the list for machines and the text for people cannot differ.
Not here: records and acceptances (``agreements``).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from xnat_client.errors import BadInputError
from xnat_client.sharing.records.mappings import fields_of, parse_yaml

_VERSION = re.compile(r"(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,79}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_HEADING = re.compile(r"^### (\d+)\. (.+?) \[([a-z0-9-]+)\]$", re.MULTILINE)
_PARTS = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Clause:
    """A numbered clause; ``tick`` when it must be ticked by itself."""

    number: int
    clause_id: str
    title: str
    tick: bool


@dataclass(frozen=True)
class AgreementText:
    """A version of a text in one language.

    Attributes
    ----------
    agreement_id, version, language : str
        Which text; the version is MAJOR.MINOR.PATCH, the language a tag such as ``en``.
    effective_on : date
        From when it counts.
    clauses : tuple of Clause
        Its clauses in order.
    summary : str
        What it says in plain language; informs only.
    text : str
        The text itself, in Unicode's composed form, lines ending in line feeds.
    legal : bool
        Whether this is the legal language.
    change_note : str
        What changed since the version before.
    """

    agreement_id: str
    version: str
    language: str
    effective_on: date
    clauses: tuple[Clause, ...]
    summary: str
    text: str
    legal: bool = True
    change_note: str = ""

    @property
    def sha256(self) -> str:
        """The digest of the text as UTF-8: what a person accepts."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def as_document(self) -> dict[str, Any]:
        """Return clauses and summary as JSON values."""
        return {
            "clauses": [
                {"number": one.number, "id": one.clause_id, "title": one.title, "tick": one.tick}
                for one in self.clauses
            ],
            "summary": self.summary,
        }


def parts_of_version(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version.

    Raises
    ------
    BadInputError
        It is not MAJOR.MINOR.PATCH.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise BadInputError("A version is three numbers, such as 1.0.0; correct it.")
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def read_agreement(path: Path) -> AgreementText:
    """Read the file of an agreement.

    Raises
    ------
    BadInputError
        The file has no header, a field is missing or wrong, or the clauses of the header are not
        those of the text.
    """
    try:
        whole = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path.name} cannot be read as UTF-8 text.") from error
    whole = unicodedata.normalize("NFC", whole.replace("\r\n", "\n"))
    match = _PARTS.fullmatch(whole)
    if match is None:
        raise BadInputError(
            f"{path.name} does not begin with a header between two lines '---'. "
            "Begin with the shipped template (winxnat share template)."
        )
    return _agreement(parse_yaml(match[1], path.name), match[2].strip() + "\n", path.name)


def _agreement(header: Any, text: str, where: str) -> AgreementText:
    required = {"id", "version", "language", "effective_on", "summary", "clauses"}
    fields = fields_of(header, where, required, {"legal", "change_note"})
    _require(isinstance(fields["id"], str) and _NAME.fullmatch(fields["id"]), where, "id")
    version = fields["version"]
    _require(isinstance(version, str) and _VERSION.fullmatch(version), where, "version")
    language = fields["language"]
    _require(isinstance(language, str) and _LANGUAGE.fullmatch(language), where, "language")
    _require(type(fields["effective_on"]) is date, where, "effective_on")
    _require(isinstance(fields["summary"], str) and fields["summary"].strip(), where, "summary")
    _require(isinstance(fields.get("legal", True), bool), where, "legal")
    return AgreementText(
        agreement_id=fields["id"],
        version=version,
        language=language,
        effective_on=fields["effective_on"],
        clauses=_clauses(fields["clauses"], text, where),
        summary=fields["summary"].strip(),
        text=text,
        legal=fields.get("legal", True),
        change_note=str(fields.get("change_note") or "").strip(),
    )


def _require(holds: object, where: str, field: str) -> None:
    if not holds:
        raise BadInputError(
            f"In {where}, the field '{field}' has no value of its form. "
            "Compare it with the shipped template."
        )


def _clauses(entries: Any, text: str, where: str) -> tuple[Clause, ...]:
    _require(isinstance(entries, list), where, "clauses")
    listed: list[tuple[str, bool]] = []
    for entry in entries:
        fields = fields_of(entry, f"{where}, clauses", {"id"}, {"tick"})
        _require(isinstance(fields.get("tick", False), bool), where, "tick")
        listed.append((str(fields["id"]), fields.get("tick", False)))
    headings = [(int(number), title, name) for number, title, name in _HEADING.findall(text)]
    right = [number for number, _, _ in headings] == list(range(1, len(headings) + 1))
    if not right or [name for _, _, name in headings] != [name for name, _ in listed]:
        raise BadInputError(
            f"In {where}, the clauses of the header are not the numbered headings of the text "
            "(### 1. Title [clause-id]). Make both the same, in the same order."
        )
    if len({name for name, _ in listed}) != len(listed):
        raise BadInputError(f"In {where}, two clauses have the same id. Give each its own.")
    return tuple(
        Clause(number, name, title, tick)
        for (number, title, name), (_, tick) in zip(headings, listed, strict=True)
    )

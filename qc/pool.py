"""Reads the records of MRIQC and winqc into tables that never mix what must not be mixed.

One image has other values in another program, another major version or another pipeline (the
median CJV of the same scans moved by a factor of 1.85 between two versions of MRIQC), so rows that
differ in these are refused in one table. Not here: norms, pages.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qc.protocol import protocol_hash_of_mriqc

SOFTWARE_NAMES = MappingProxyType({
    "winqc": "winqc",
    "mriqc": "MRIQC",
    "mriqc-substituted": "mriqc-substituted",
})  # fmt: skip
"""What a record may say it comes from, and how that is written for people."""

_NOT_MEASURES = frozenset({"bids_meta", "provenance", "undefined"})
_LARGEST = 1e100
"""No measure comes near it, and squares of smaller numbers are finite."""


class UnknownRecordError(ValueError):
    """A record is neither MRIQC's nor winqc's; the message says what is wrong."""


class OtherJsonError(UnknownRecordError):
    """It is JSON of another kind: a sidecar, a step's report; nothing that should be a record."""


class CannotPoolError(ValueError):
    """Rows of different software, major version, pipeline or kind, or of one name."""


@dataclass(frozen=True, slots=True)
class Row:
    """The measures of one image, with what they may be compared with.

    Attributes
    ----------
    name : str
        Of the image, as whoever reads the records calls it.
    modality : str
        ``T1w``, ``T2w``, ``bold``, ``dwi``.
    software, version, pipeline : str
        What measured it; ``pipeline`` is empty for MRIQC, which has none.
    protocol : str
        16 hexadecimal digits, equal for images of one protocol.
    defaced : bool or None
        None where nobody said.
    values : Mapping
        Finite number or None by the measure's name.
    input_sha256 : str
        Digest of the image, empty where the record has none.
    """

    name: str
    modality: str
    software: str
    version: str
    pipeline: str
    protocol: str
    defaced: bool | None
    values: Mapping[str, float | None]
    input_sha256: str = ""

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """Software, major version, pipeline and modality: rows that differ are never pooled."""
        return self.software, self.version.split(".")[0], self.pipeline, self.modality


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind, sorted by name.

    Raises
    ------
    CannotPoolError
        Two rows have one name: nobody could tell whose a value, picture or rating is.
    """

    kind: tuple[str, str, str, str]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if len({row.name for row in self.rows}) < len(self.rows):
            raise CannotPoolError(f"Two images of one table ({self.title}) have the same name.")

    @property
    def title(self) -> str:
        """What the table holds, for people."""
        software, major, pipeline, modality = self.kind
        made_by = f"{software} {major}" + (f" ({pipeline})" if pipeline else "")
        return f"{modality}, measured by {made_by}"


def read_record(name: str, text: str | bytes) -> Row:
    """Return the row of one JSON record.

    Parameters
    ----------
    name : str
        What to call the image.
    text : str or bytes
        A record as MRIQC 0.15 to 24 or winqc writes it.

    Raises
    ------
    OtherJsonError
        It is sound JSON that has neither of the two objects that make a record.
    UnknownRecordError
        It is truncated, damaged, or a record of neither program.
    """
    record = _parsed(text)
    if not isinstance(record, dict) or not {"provenance", "bids_meta"} & record.keys():
        raise OtherJsonError("It is JSON, but no record of image quality.")
    provenance, meta = record.get("provenance"), record.get("bids_meta")
    if not isinstance(provenance, dict):
        raise UnknownRecordError("The record has no provenance: nobody knows what measured it.")
    if not isinstance(meta, dict):
        raise UnknownRecordError("The record has no bids_meta: nobody knows what was measured.")
    software = SOFTWARE_NAMES.get(str(provenance.get("software", "")).lower())
    modality, version = meta.get("modality"), provenance.get("version")
    if software is None:
        raise UnknownRecordError(
            "The record's provenance names no software that is known: winqc, mriqc or "
            "mriqc-substituted."
        )
    if not isinstance(version, str) or not isinstance(modality, str):
        raise UnknownRecordError("The record does not say which version or modality it is of.")
    values = {
        key: _number(value)
        for key, value in record.items()
        if key not in _NOT_MEASURES and (value is None or isinstance(value, int | float))
    }
    protocol = provenance.get("protocol_hash")
    defaced = provenance.get("defaced")
    return Row(
        name=name,
        modality=modality,
        software=software,
        version=version,
        pipeline=str(provenance.get("pipeline", "")),
        protocol=protocol
        if isinstance(protocol, str)
        else protocol_hash_of_mriqc(modality, meta, values),
        defaced=defaced if isinstance(defaced, bool) else None,
        values=MappingProxyType(values),
        input_sha256=str(provenance.get("input_sha256", "")),
    )


def _parsed(text: str | bytes) -> object:
    """Return the content of JSON.

    Raises
    ------
    UnknownRecordError
        It is none; the message says whether its end is missing.
    """
    if not text.strip():
        raise UnknownRecordError("The file is empty.")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        is_short = error.pos >= len(error.doc.rstrip()) or "Unterminated string" in error.msg
        raise UnknownRecordError(
            "The file is truncated: its JSON ends in the middle. Make it again."
            if is_short
            else f"The file is damaged: line {error.lineno} is no JSON. Make it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UnknownRecordError("The file is no JSON that can be read.") from error


def pool(rows: Iterable[Row]) -> Table:
    """Return rows of one kind as one table.

    Raises
    ------
    CannotPoolError
        They are of several kinds, there are none, or two have one name.
    """
    tables = split(rows)
    if len(tables) != 1:
        kinds = "; ".join(table.title for table in tables) or "none"
        raise CannotPoolError(
            f"Values of different software, major versions or modalities cannot be pooled: {kinds}."
        )
    return tables[0]


def split(rows: Iterable[Row]) -> list[Table]:
    """Return one table for each kind, sorted by kind; rows sorted by name.

    Raises
    ------
    CannotPoolError
        Two rows of one kind have one name.
    """
    by_kind: dict[tuple[str, str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_kind[row.kind].append(row)
    return [
        Table(kind, tuple(sorted(found, key=lambda row: row.name)))
        for kind, found in sorted(by_kind.items())
    ]


def _number(value: object) -> float | None:
    """Return a number that can be reckoned with, or None; MRIQC's -1 is dealt with by `norms`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST < value < _LARGEST else None

"""Series import filters: which files of an import are dropped by what their headers say.

A filter is a list of regular expressions, one a line, that are looked for in SeriesDescription,
whatever the case; a line ``[NAME]`` has the following ones looked for in another element, and the
words ``EXISTS`` and ``!EXISTS`` ask whether it is there. Lines with ``#`` are comments. Not here:
where filters are stored (``series_filter_api``) and modality maps, which the sandbox has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from deploy.sandbox.archives import bounded
from deploy.sandbox.dicom_headers import MAX_DEFLATED_BYTES, MAX_VALUE_CHARACTERS, read_header
from deploy.sandbox.dicom_sessions import Study, group
from deploy.sandbox.errors import bad_request, not_implemented
from deploy.sandbox.expressions import Expression, ExpressionError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

MAX_LIST_CHARACTERS = 100_000
_PIXEL_DATA = 0x7FE00010
_TRUE_WORDS = {"true": True, "false": False, True: True, False: False}


class Mode(StrEnum):
    """What becomes of files that a filter's expressions match."""

    BLACKLIST = "blacklist"
    WHITELIST = "whitelist"


@dataclass(frozen=True)
class SeriesFilter:
    """A filter that was understood; ``expressions`` by element, texts for the two words."""

    enabled: bool
    mode: Mode
    expressions: Mapping[BaseTag, tuple[Expression | str, ...]]

    def accepts(self, values: Mapping[BaseTag, str | None]) -> bool:
        """Return whether a file stays; a value is None where the element is absent."""
        matched = any(
            _matches(expression, values.get(tag))
            for tag, expressions in self.expressions.items()
            for expression in expressions
        )
        return matched == (self.mode is Mode.WHITELIST)


def _matches(expression: Expression | str, value: str | None) -> bool:
    if isinstance(expression, str):
        return (value is not None) == (expression == "EXISTS")
    try:
        return value is not None and expression.search(value) is not None
    except ExpressionError as error:
        raise bad_request(
            f"A line of the series import filter cannot be applied: {error}. Nothing was imported."
        ) from error


def read_filter(document: Any) -> SeriesFilter:
    """Return the filter of a document ``{"enabled", "mode", "list"}``.

    Raises
    ------
    HttpError
        400 when it is none, 501 for modality maps.
    """
    if not isinstance(document, dict):
        raise bad_request("A series import filter is a JSON object with enabled, mode and list.")
    mode = str(document.get("mode", "")).lower()
    if mode == "modalitymap":
        raise not_implemented("series import filters of the mode modalityMap")
    if mode not in set(Mode):
        raise bad_request("'mode' of a series import filter must be blacklist or whitelist.")
    enabled = document.get("enabled", True)
    if not isinstance(enabled, (bool, str)) or enabled not in _TRUE_WORDS:
        raise bad_request("'enabled' of a series import filter must be true or false.")
    listed = document.get("list")
    if not isinstance(listed, str) or len(listed) > MAX_LIST_CHARACTERS:
        raise bad_request(f"'list' must be a text of at most {MAX_LIST_CHARACTERS} characters.")
    return SeriesFilter(_TRUE_WORDS[enabled], Mode(mode), _expressions(listed))


def _expressions(listed: str) -> dict[BaseTag, tuple[Expression | str, ...]]:
    found: dict[BaseTag, list[Expression | str]] = {}
    tag = _element("SeriesDescription", 0)
    for number, line in enumerate(listed.splitlines(), 1):
        code = line.strip()
        if not code or code.startswith("#"):
            continue
        if code.startswith("[") and code.endswith("]"):
            tag = _element(code[1:-1].strip(), number)
            continue
        expression: Expression | str = code
        if code not in {"EXISTS", "!EXISTS"}:
            try:
                expression = Expression(code, ignore_case=True)
            except ExpressionError as error:
                raise bad_request(
                    f"Line {number} of the filter's list cannot be used: {error}."
                ) from error
        found.setdefault(tag, []).append(expression)
    return {each: tuple(expressions) for each, expressions in found.items()}


def _element(name: str, number: int) -> BaseTag:
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.tag import Tag  # noqa: PLC0415 - same

    known = tag_for_keyword(name)
    if known is not None:
        return Tag(known)
    digits = re.fullmatch(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", name)
    if digits is None:
        raise bad_request(
            f"Line {number} of the filter's list names no DICOM element: give its keyword or "
            "number, such as [BurnedInAnnotation]."
        )
    return Tag(int(digits.group(1), 16), int(digits.group(2), 16))


# Applying -----------------------------------------------------------------------------------


def drop_filtered(study: Study, filters: Iterable[SeriesFilter]) -> Study | None:
    """Return a study without the files that one of the filters drops; None when none is left."""
    active = [each for each in filters if each.enabled]
    if not active:
        return study
    tags = sorted({tag for each in active for tag in each.expressions})
    kept = []
    for series in study.in_order():
        for file in series.files.values():
            values = _values(file.path, tags)
            header = read_header(file.path)
            if header is not None and all(each.accepts(values) for each in active):
                kept.append((header, file))
    if not kept:
        return None
    (left,) = group(kept)
    return left


def _values(path: Path, tags: list[BaseTag]) -> dict[BaseTag, str | None]:
    from pydicom import config  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.filereader import read_partial  # noqa: PLC0415 - same

    config.settings.reading_validation_mode = config.IGNORE
    try:
        with path.open("rb") as stream:
            source = cast("BinaryIO", bounded(stream, MAX_DEFLATED_BYTES))
            dataset = read_partial(source, _is_pixels, specific_tags=list(tags))
        return {tag: _text(dataset, tag) for tag in tags}
    except Exception as error:  # pydicom raises nearly anything on malformed files
        raise bad_request(
            "A file's header cannot be read for the series import filter; nothing was imported."
        ) from error


def _is_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _PIXEL_DATA


def _text(dataset: Dataset, tag: BaseTag) -> str | None:
    if tag not in dataset:
        return None
    element = dataset[tag]
    if element.value is None:
        return ""
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(str(each) for each in values)[:MAX_VALUE_CHARACTERS]

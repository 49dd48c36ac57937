"""Reads what the quick reader leaves: data sets of unusual form, with pydicom.

Not here: the usual forms (``header``).
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from containers.dicom_to_bids.header import Header, PixelState
from containers.dicom_to_bids.header_tags import FACT_TAGS, NUMBERS, PERSON_TAGS

_UNREADABLE = (
    *(InvalidDicomError, EOFError, OSError, ValueError, AttributeError, TypeError, LookupError),
    *(RuntimeError, ArithmeticError, BytesLengthException, struct.error, zlib.error),
    *(NotImplementedError, MemoryError),
)
"""What pydicom raises for headers that end early, are damaged, or make no sense."""
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_any_header(path: Path) -> Header | None:
    """Return the header of a DICOM file as pydicom reads it, or None if it cannot.

    Notes
    -----
    The file is read whole, except for values above one kilobyte: unusual files are few.
    """
    keywords = [*FACT_TAGS, *PERSON_TAGS, *NUMBERS]
    with _quiet_reader():
        try:
            dataset = pydicom.dcmread(
                path, defer_size=1024, specific_tags=[*keywords, *_PIXEL_KEYWORDS]
            )
            texts = {keyword: _text(dataset, keyword) for keyword in keywords}
            state = _state(dataset, path)
        except _UNREADABLE:
            return None
    persons = tuple((name, texts[name].encode()) for name in PERSON_TAGS if texts[name])
    frames = texts["NumberOfFrames"]
    is_mosaic = "MOSAIC" in texts["ImageType"].split("\\")
    count = int(frames) if frames.isdigit() else 1
    return Header(texts, persons, "utf-8", state, 0 if is_mosaic else count)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        return "\\".join(map(str, value))
    return "" if value is None else str(value).strip()


def _state(dataset: Dataset, path: Path) -> PixelState:
    element = next(
        (dataset.get_item(name) for name in _PIXEL_KEYWORDS if name in dataset),
        None,
    )
    if element is None:
        return PixelState.NONE
    length = getattr(element, "length", 0)
    start = getattr(element, "value_tell", 0)
    is_known = isinstance(length, int) and length != 0xFFFFFFFF  # noqa: PLR2004 - unknown length
    is_cut = is_known and start and start + length > path.stat().st_size
    return PixelState.CUT if is_cut else PixelState.WHOLE


@contextmanager
def _quiet_reader() -> Iterator[None]:
    """Keep pydicom silent: what it says of values against the standard quotes the values.

    Such values are common in real headers, and none is used here in a way that depends on its
    form.
    """
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled

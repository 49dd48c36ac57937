"""Reading many files that may be DICOM, as fast as disk and interpreter allow.

Not here: one file (``dicom_file``), what the others are (``survey``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xnat_client.upload.dicom_file import (
    DamagedError,
    DicomFile,
    NotDicomError,
    read_dicom_file,
)

_READERS = 4
BATCH = 16
_POOLED_BATCHES = 8
"""So many batches are read by threads before it is looked again whether they are needed."""

Batch = list[tuple[int, Path, tuple[str, ...]]]
Read = list[tuple[Path, DicomFile | Exception]]


def read_batches(
    batches: Sequence[Batch], count_waits: Callable[[], int] | None = None
) -> Iterator[Read]:
    """Read files, several at a time only where this thread waits for the disk or the network.

    Parsing is Python's, and threads that only take the interpreter from each other make it slower.

    Parameters
    ----------
    count_waits : callable or None
        Returns how often this thread has waited for something; None for what the system says.
    """
    waits = count_waits or _waits
    with ThreadPoolExecutor(_READERS) as readers:
        position = 0
        while position < len(batches):
            before = waits()
            yield _read_batch(batches[position])
            position += 1
            if waits() - before > BATCH // 2:
                yield from readers.map(_read_batch, batches[position : position + _POOLED_BATCHES])
                position += _POOLED_BATCHES


def _waits() -> int:
    """Return how often this thread has waited for something; 0 where the system does not count."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return 0
    whose = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return resource.getrusage(whose).ru_nvcsw


def _read_batch(batch: Batch) -> Read:
    return [(path, _read_one(number, path, elements)) for number, path, elements in batch]


def _read_one(number: int, path: Path, elements: tuple[str, ...]) -> DicomFile | Exception:
    try:
        return read_dicom_file(path, number, elements)
    except NotDicomError as error:
        return error
    except DamagedError as error:
        return DamagedError(f"damaged DICOM: {error}")
    except OSError as error:
        return DamagedError(f"it cannot be read ({error.strerror or type(error).__name__})")

"""Refuses images that would need more memory than there is, before any of it is taken.

A container that takes too much is killed, and all results of its run are lost with it. Not here:
measuring.
"""

from __future__ import annotations

from types import MappingProxyType

from qc.images import Extent, UnreadableImageError

_BASE_BYTES = 400e6
_BYTES_PER_VALUE = MappingProxyType({"T1w": 110, "T2w": 110, "bold": 16, "dwi": 20})
"""Measured peaks, with a fifth more: of heads that fill a third of the image, as heads do."""
_READING_BYTES = 4
"""Beside what the file holds of a value, while it is turned into float32."""


def needed_gb(modality: str, extent: Extent) -> float:
    """Return how much memory an image takes while it is measured, in gigabytes (10^9 bytes)."""
    reading = extent.bytes_per_value + _READING_BYTES
    measuring = _BYTES_PER_VALUE[modality]
    values = extent.values
    if modality in {"T1w", "T2w"}:
        # Of several volumes the mean is measured.
        measuring = max(reading, _READING_BYTES + measuring // extent.volumes)
    return (_BASE_BYTES + values * max(reading, measuring)) / 1e9


def check_memory(modality: str, extent: Extent, memory_gb: float) -> None:
    """Refuse an image that needs more than there is.

    Raises
    ------
    UnreadableImageError
        It does; the message says how much.
    """
    needed = needed_gb(modality, extent)
    if needed > memory_gb:
        raise UnreadableImageError(
            f"It has {extent.values / 1e6:.0f} million values; to measure it takes about "
            f"{needed:.1f} GB of memory, and {memory_gb:.1f} GB may be used here. Give the "
            "container more, or leave it out."
        )

"""Why each series of a session gets its name: the classification without writing a tree.

Not here: the map that reproduces it (``suggest``), printing (``containers.bids_cli``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from containers.dicom_to_bids.convert import Conversion, Converted, convert_session
from containers.dicom_to_bids.inventory import Inventory, read_inventory
from containers.dicom_to_bids.names import LeftOut, Named, Naming, name_images
from containers.dicom_to_bids.project_map import ProjectMap
from containers.dicom_to_bids.report import account

WITHHELD = "(withheld: it holds what an identifying element holds)"
_NO_IMAGE = "no-image"


@dataclass(frozen=True, slots=True)
class Examined:
    """A session that was converted in memory only, as far as names go."""

    inventory: Inventory
    conversion: Conversion
    naming: Naming


@dataclass(frozen=True, slots=True)
class Explanation:
    """One image, or a scan without any: its name and why.

    ``name`` is empty where it is left out; ``series`` is the description in the header.
    """

    scans: tuple[str, ...]
    series: str
    name: str
    reason: str
    rule: str
    confidence: str


def examine(folder: Path, scratch_dir: Path, project_map: ProjectMap | None) -> Examined:
    """Read, convert and name the images of a session; errors as for the whole step."""
    inventory = read_inventory(folder)
    conversion = convert_session(inventory, scratch_dir)
    naming = name_images(conversion.images, inventory.identity, project_map)
    return Examined(inventory, conversion, naming)


def explanations(examined: Examined) -> tuple[Explanation, ...]:
    """Return a row for each image in order of acquisition, then scans without an image."""
    of_image = results_by_image(examined.naming)
    rows = [
        _row(examined, image, of_image[id(image)])
        for image in examined.conversion.images
        if id(image) in of_image
    ]
    return (*rows, *_without_images(examined))


def results_by_image(naming: Naming) -> dict[int, Named | LeftOut]:
    """Return what became of each image, by the image's identity as an object."""
    results: list[Named | LeftOut] = [*naming.named, *naming.left_out]
    return {id(result.image): result for result in results}


def shown_series(examined: Examined, image: Converted) -> str:
    """Return the series description; a remark instead where it holds an identity."""
    text = str(image.sidecar.get("SeriesDescription") or "")
    return WITHHELD if text and examined.inventory.identity.touches(text) else text


def _row(examined: Examined, image: Converted, result: Named | LeftOut) -> Explanation:
    name, reason = "", result.decision.reason
    if isinstance(result, Named):
        name = f"{result.data_type}/{result.stem('sub-x')}"
    else:
        reason = result.reason
    return Explanation(
        scans=image.scan_ids,
        series=shown_series(examined, image),
        name=name,
        reason=reason,
        rule=result.decision.rule,
        confidence=result.decision.confidence.value,
    )


def _without_images(examined: Examined) -> Iterator[Explanation]:
    naming = examined.naming
    results = results_by_image(naming).values()
    seen = {scan_id for result in results for scan_id in result.image.scan_ids}
    outputs: list[tuple[str, ...]] = [() for _ in naming.named]
    rows, _ = account(examined.inventory, naming, outputs, examined.conversion.failed)
    for row in rows:
        if row.subject not in seen:
            yield Explanation((row.subject,), "", "", row.reason, _NO_IMAGE, "")

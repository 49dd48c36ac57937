"""Reads the reports of runs of ``deface``, with their pictures, for the page of a review."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qc.report.face_review import FaceImage
from xnat_client.errors import BadInputError

REPORT_FILE_NAME = "deface.json"
_LONGEST_REPORT = 16 << 20
_LONGEST_PICTURE = 4 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PNG = b"\x89PNG\r\n\x1a\n"


def find_reports(places: Sequence[Path]) -> list[Path]:
    """Return the reports at the places, each once, in the order of places and paths.

    Parameters
    ----------
    places : sequence of Path
        Reports, or folders that hold some at any depth.

    Raises
    ------
    BadInputError
        A place holds none.
    """
    found: dict[Path, None] = {}
    for number, place in enumerate(places, start=1):
        here = [place] if place.is_file() else sorted(place.rglob(REPORT_FILE_NAME))
        if not here:
            raise BadInputError(
                f"Cannot review folder {number} of those given: no report of deface "
                f"({REPORT_FILE_NAME}) is in it. Name folders of results, or DEFACE_REPORT folders."
            )
        found |= dict.fromkeys(path.resolve() for path in here)
    return list(found)


def read_report(number: int, path: Path) -> list[FaceImage]:
    """Return the images of a report.

    Raises
    ------
    BadInputError
        It is no report of ``deface``, or of an older version, which tells no digests.
    """
    try:
        with path.open("rb") as stream:
            # A longer one is cut, and so is no JSON any more.
            document = json.loads(stream.read(_LONGEST_REPORT))
        return [_image(number, path.parent, each) for each in document["images"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
            RecursionError) as error:  # fmt: skip
        raise BadInputError(
            f"Report {number} cannot be read as a report of deface, or an older version wrote it, "
            "which tells no digests. Run deface again."
        ) from error


def _image(number: int, folder: Path, told: dict[str, Any]) -> FaceImage:
    gates = tuple(
        (str(gate["name"]), float(gate["value"]), str(gate["limit"]), gate["is_passed"] is True)
        for gate in told["gates"]
    )
    digest = str(told["sha256"])
    if digest and not (_SHA256.fullmatch(digest) and gates):
        raise ValueError("a result without a digest or without a gate")
    return FaceImage(
        report=number,
        name=str(told["image"]),
        verdict=str(told["verdict"]),
        sha256=digest,
        gates=gates,
        pictures=dict(_pictures(folder, told["pictures"])),
    )


def _pictures(folder: Path, told: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures that lie below the report; an address elsewhere is passed over."""
    for name, relative in told.items():
        path = (folder / str(relative)).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            continue
        if path.stat().st_size > _LONGEST_PICTURE:
            continue
        content = path.read_bytes()
        if content.startswith(_PNG):
            yield str(name), content

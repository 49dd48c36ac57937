"""What a person's review needs of a run, as files beside its report: pictures, and digests.

The pictures show faces and stay with the report. Not here: the page of one run (``page``), the
page of many runs (``winxnat deface review``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from containers.deface.pipeline import Outcome

PICTURES_DIR_NAME = "pictures"
_VIEWS = ("front", "left", "right", "side")


def write_pictures(folder: Path, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, str]]:
    """Write each image's pictures; return their paths below ``folder`` by image and view."""
    found: dict[str, dict[str, str]] = {}
    for number, (shown, outcome) in enumerate(outcomes.items(), start=1):
        pictures = {
            f"{moment}-{view}": content
            for moment, contents in (("before", outcome.before), ("after", outcome.after))
            for view, content in zip(_VIEWS, contents, strict=False)
        }
        if outcome.slices:
            pictures["slices"] = outcome.slices
        found[shown] = {}
        for name, content in pictures.items():
            path = Path(PICTURES_DIR_NAME) / f"image-{number:03d}-{name}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            found[shown][name] = path.as_posix()
    return found


def digest_of_result(root: Path, outputs: Sequence[str]) -> str:
    """Return the SHA-256 that a decision on a result names.

    Of one image that of its file; of a DICOM series that of the sorted lines ``sha256  path``,
    as ``sha256sum`` prints them in the folder of results.

    Parameters
    ----------
    outputs : sequence of str
        Below ``root``; for NIfTI the image comes first, then mask and sidecar.
    """
    if not outputs:
        return ""
    if not outputs[0].endswith(".dcm"):
        return _digest(root / outputs[0])
    lines = sorted(f"{_digest(root / path)}  {path}\n" for path in outputs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

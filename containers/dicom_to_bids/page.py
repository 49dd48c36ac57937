"""Writes the account of a session as one HTML page that opens anywhere, without a network.

No scripts, no links, nothing from elsewhere; a strict content policy in the page holds it to
that. The same session gives the same bytes, so there is no date. Not here: the account itself
(``report``), and pictures of faces: the thumbnails are transverse slices.
"""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from containers.contract import Accounted
from containers.dicom_to_bids.convert import Converted, load_nifti

PAGE_FILE_NAME = "report.html"
_LONGEST_SIDE = 160
"""Pixels of a thumbnail's longer side, at most."""
_DARKEST, _BRIGHTEST = 1.0, 99.0
"""Percentiles of the slice that become black and white."""
_PNG_LEVEL = 9
_AXES_IN_WORLD: Any = nib.orientations.io_orientation
_OUTCOMES = {"done": "in the tree", "left-out": "left out", "failed": "failed"}
_STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:2rem auto;max-width:80rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.5rem;text-align:left;vertical-align:top}
ul{margin:0;padding-left:1.1rem}
td ul,td:nth-child(2){white-space:nowrap}
.wide{overflow-x:auto}
img{background:#000;margin:0 .4rem .4rem 0;vertical-align:top}
.done{color:#05512a}.left-out{color:#5c4300}.failed{color:#8f1010;font-weight:bold}
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the tree: its path below the root, and where its voxels are."""

    name: str
    image: Converted


def write_page(
    path: Path,
    rows: Sequence[Accounted],
    pictures: Sequence[Picture],
    *,
    summary: str,
    warnings: Sequence[str],
) -> None:
    """Write the page to ``path``.

    Parameters
    ----------
    rows : Sequence[Accounted]
        All scans.
    pictures : Sequence[Picture]
        All images of the tree; each becomes one thumbnail beside its scan's output.
    summary, warnings
        Sentences without identity.
    """
    thumbnails = {picture.name: _thumbnail_tag(picture) for picture in pictures}
    noted = "".join(f"<li>{html.escape(each)}</li>" for each in warnings)
    body = "".join(_row(row, thumbnails) for row in rows)
    counts = Counter(row.outcome for row in rows)
    counted = ", ".join(f"{counts[key]} {text}" for key, text in _OUTCOMES.items())
    path.write_text(
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>DICOM to BIDS: {html.escape(counted)}</title>\n"
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>DICOM to BIDS</h1>\n<p>{html.escape(summary)}</p>\n"
        + (f"<h2>To look at</h2>\n<ul>{noted}</ul>\n" if warnings else "")
        + "<h2>Scans</h2>\n<p>What became of each scan. The pictures show the middle transverse "
        "slice of the first volume, front up, the patient's left on the left.</p>\n"
        # A wide table is scrolled in its own frame, also by the keyboard.
        '<div class="wide" role="region" aria-label="Scans" tabindex="0">\n<table>\n'
        '<thead><tr><th scope="col">Scan</th><th scope="col">Outcome</th>'
        '<th scope="col">Reason</th><th scope="col">Files</th><th scope="col">Picture</th>'
        f"</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _row(row: Accounted, thumbnails: Mapping[str, str]) -> str:
    files = "".join(f"<li>{html.escape(PurePosixPath(name).name)}</li>" for name in row.outputs)
    shown = "".join(thumbnails[name] for name in row.outputs if name in thumbnails)
    return (
        f'<tr><th scope="row">{html.escape(row.subject)}</th>'
        f'<td class="{html.escape(row.outcome)}">{_OUTCOMES[row.outcome]}</td>'
        f"<td>{html.escape(row.reason)}</td>"
        f"<td>{f'<ul>{files}</ul>' if files else ''}</td><td>{shown}</td></tr>\n"
    )


def _thumbnail_tag(picture: Picture) -> str:
    grey, height_ratio = _middle_slice(load_nifti(picture.image.image_path))
    name = html.escape(PurePosixPath(picture.name).name)
    if grey is None:
        return f"<p>No picture of {name}: its voxels are not single numbers.</p>"
    height, width = grey.shape
    scale = _LONGEST_SIDE / max(width, height * height_ratio)
    source = base64.b64encode(_png(grey)).decode("ascii")
    return (
        f'<img width="{max(1, round(width * scale))}" '
        f'height="{max(1, round(height * height_ratio * scale))}" '
        f'alt="Middle transverse slice of {name}" src="data:image/png;base64,{source}">'
    )


def _middle_slice(image: Any) -> tuple[NDArray[np.uint8] | None, float]:
    """Return the middle transverse slice as it is shown, and how tall its pixels are.

    Parameters
    ----------
    image : Nifti1Image
        Axes (X, Y, Z) or (X, Y, Z, T), in any orientation; of a series the first volume counts.

    Returns
    -------
    grey : ndarray, (row, column) uint8, or None
        Row 0 is the front, column 0 the patient's left; None where a voxel is no single number.
    height_ratio : float
        Height of a pixel by its width, from the voxel size in mm.
    """
    if image.get_data_dtype().kind not in "iuf":
        return None, 1.0
    orientation: NDArray[Any] = _AXES_IN_WORLD(image.affine)
    axis_of = {int(world): axis for axis, (world, _) in enumerate(orientation)}
    across = axis_of.get(2, 2)
    place: list[Any] = [slice(None)] * 3 + [0] * (len(image.shape) - 3)
    place[across] = image.shape[across] // 2
    # One slice only is read: the file may be larger than the memory.
    plane = np.asarray(image.dataobj[tuple(place)], dtype=np.float64)
    in_plane = [axis for axis in range(3) if axis != across]
    if in_plane != [axis_of.get(0, 0), axis_of.get(1, 1)]:
        plane, in_plane = plane.T, in_plane[::-1]
    # World axes grow to the right and to the front (RAS+); the page runs right and down.
    if orientation[in_plane[0], 1] < 0:
        plane = plane[::-1]
    if orientation[in_plane[1], 1] > 0:
        plane = plane[:, ::-1]
    step = -(-max(plane.shape) // _LONGEST_SIDE)
    zooms = image.header.get_zooms()
    width_mm, height_mm = (float(zooms[axis]) for axis in in_plane)
    return _grey(plane[::step, ::step].T), height_mm / width_mm if width_mm > 0 else 1.0


def _grey(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return np.zeros(plane.shape, np.uint8)
    low, high = np.percentile(finite, (_DARKEST, _BRIGHTEST))
    span = high - low if high > low else 1.0
    scaled = np.clip((np.nan_to_num(plane, nan=low) - low) / span, 0.0, 1.0)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def _png(grey: NDArray[np.uint8]) -> bytes:
    """Return a PNG file (ISO/IEC 15948): 8-bit grey, no text and no time in it."""
    height, width = grey.shape
    # Each line begins with its filter; 0 is none.
    lines = np.hstack([np.zeros((height, 1), np.uint8), grey]).tobytes()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, _PNG_LEVEL)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )

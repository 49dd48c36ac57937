"""How often deface passes, refuses, or fails unnoticed on changed copies of heads.

Run: ``.venv/bin/python tests/benchmarks/bench_deface_robust.py --heads NAME=FILE ... --log FILE``

Each head is changed in the ways of ``tests/builders/head_changes.py``, defaced, and judged by what
is known of the unchanged head: points of skin that were first met from the front and from the
sides, inside boxes read off pictures by eye, carried through the change; and the brain of the
unchanged head. Lines go to a log (JSON, one a run); what is in it is not run again. Names with
boxes are in ``PARTS``. ``--morphs 2`` adds two smoothly deformed copies of each head as heads of
their own (which counts for shapes, and not for people), ``--changes`` takes some of the changes
only, ``--voxel-mm`` takes means of voxels first (the fits themselves see 2 mm), ``--seconds``
stops in time, ``--jobs`` runs several at once.

The heads: ``ds000031`` (source package of pydeface 2.1.0, tests/data), ``uih_a`` (dcm_qa_uih),
``colin27`` (``ch2`` of Debian's mricron-data 1.2.20211006+dfsg-4), ``average`` (``mean_reg2mean``
of pydeface 2.1.0; the template was made of it). The ICBM 2009a average of nilearn 0.14.1 has no
skull, so it is no head with a face.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.gates import NORMAL, STRICT
from containers.deface.grids import factors_for, reduced
from containers.deface.images import read_head_image
from containers.deface.pipeline import Settings, Tools, deface
from containers.deface.template import Grid, load_template
from qc.brain_mask import BrainMaskNetwork, main_body
from tests.builders.head_changes import CHANGES, ChangedHead, morphed

RECEDED_MM = 3.0
LEAST_FACE, LEAST_EARS = 0.97, 0.90
FEWEST_POINTS = 30


@dataclass(frozen=True)
class Parts:
    """Where parts of the skin lie, in mm along axes to the right, front and up.

    Parameters
    ----------
    middle : float
        Between the eyes, from the left end of the image.
    face_up, ears_front, ears_up : tuple of float
        From chin to brows; from back to front and from low to high of the ears.
    level : float
        Of tissue, as a share of the brightness of bright voxels.
    """

    middle: float
    face_up: tuple[float, float]
    ears_front: tuple[float, float]
    ears_up: tuple[float, float]
    level: float = 0.15


PARTS = {
    "ds000031": Parts(87, (15, 148), (86, 120), (65, 121)),
    "uih_a": Parts(83, (3, 122), (72, 112), (92, 130)),
    "colin27": Parts(90, (2, 42), (82, 100), (4, 35)),
    "average": Parts(88, (18, 113), (95, 131), (44, 93), level=0.3),
}
_HALF_FACE_MM = 48.0


@cache
def read_head(path: Path, parts: Parts, voxel_mm: float = 1.0) -> ChangedHead:
    """Return an unchanged head with its truth, on voxels of about ``voxel_mm``."""
    image = read_head_image(path, path.name)
    full = Grid(image.volume.shape, image.voxel_mm, (0.0, 0.0, 0.0))
    volume, grid = reduced(image.volume, full, factors_for(full, voxel_mm))
    bright = float(np.percentile(volume[volume > 0], 98))
    labels, _ = ndimage.label(ndimage.gaussian_filter(volume, 0.7) > parts.level * bright)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    tissue = labels == sizes.argmax()
    brain = main_body(BrainMaskNetwork().predict(volume), grid.spacing_mm)
    # Where the image ends inside the head there is no skin.
    skin = {
        "face": _first_from_front(tissue, grid.spacing_mm, parts),
        "ears": _first_from_sides(tissue, grid.spacing_mm, parts),
    }
    return ChangedHead(volume, grid.spacing_mm, tissue, brain, skin)


def _first_from_front(
    tissue: NDArray[np.bool_], voxel_mm: tuple[float, float, float], parts: Parts
) -> NDArray[np.float64]:
    front = tissue.shape[1] - 1 - np.argmax(tissue[:, ::-1], axis=1)
    right, up = np.indices(front.shape) * np.array([voxel_mm[0], voxel_mm[2]])[:, None, None]
    wanted = tissue.any(axis=1) & (abs(right - parts.middle) < _HALF_FACE_MM)
    wanted &= (up > parts.face_up[0]) & (up < parts.face_up[1])
    wanted &= front < tissue.shape[1] - 1
    points = np.column_stack([right[wanted], front[wanted] * voxel_mm[1], up[wanted]])
    # What is first met far behind the rest is seen through a gap, and is no skin of the face.
    return points[points[:, 1] > np.percentile(points[:, 1], 50) - 60]


def _first_from_sides(
    tissue: NDArray[np.bool_], voxel_mm: tuple[float, float, float], parts: Parts
) -> NDArray[np.float64]:
    ahead, up = np.indices(tissue.shape[1:]) * np.array(voxel_mm[1:])[:, None, None]
    wanted = tissue.any(axis=0)
    wanted &= (ahead > parts.ears_front[0]) & (ahead < parts.ears_front[1])
    wanted &= (up > parts.ears_up[0]) & (up < parts.ears_up[1])
    left = np.argmax(tissue, axis=0)
    right = tissue.shape[0] - 1 - np.argmax(tissue[::-1], axis=0)
    sides = ((left, wanted & (left > 0)), (right, wanted & (right < tissue.shape[0] - 1)))
    return np.vstack(
        [
            np.column_stack([first[seen] * voxel_mm[0], ahead[seen], up[seen]])
            for first, seen in sides
        ]
    )


def write_changed(path: Path, head: ChangedHead) -> nib.Nifti1Image:
    """Write the image as 16-bit integers, as scanners do."""
    scale = 4000 / max(float(head.volume.max()), 1e-6)
    data = np.clip(head.volume * scale, 0, 32767).astype(np.int16)
    affine = np.diag([*head.voxel_mm, 1.0])
    image = nib.Nifti1Image(data, affine)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(head.axes)
    )
    image = image.as_reoriented(turn)
    code = 1 if head.has_affine else 0
    image.set_sform(image.affine if head.has_affine else None, code)
    image.set_qform(image.affine if head.has_affine else None, code)
    nib.save(image, path)
    return image


def score(head: ChangedHead, removed: NDArray[np.bool_]) -> dict[str, float]:
    """Return shares of skin gone by 3 mm, brain voxels lost, and how many points there were."""
    left = head.tissue & ~removed
    away = (
        ndimage.distance_transform_edt(~left, sampling=head.voxel_mm)
        if left.any()
        else np.full(left.shape, np.inf)
    )
    scored: dict[str, float] = {"brain_lost": int((head.brain & removed).sum())}
    for name, points in head.skin.items():
        places = np.rint(points / head.voxel_mm).astype(int)
        inside = ((places >= 0) & (places < left.shape)).all(axis=1)
        x, y, z = places[inside].T
        scored[f"{name}_points"] = int(inside.sum())
        scored[name] = float((away[x, y, z] >= RECEDED_MM).mean()) if inside.any() else 1.0
    return scored


def removed_by(mask_file: bytes, stored: nib.Nifti1Image, head: ChangedHead) -> NDArray[np.bool_]:
    """Return what was removed, with the axes of the head and not of the file."""
    removed = np.asarray(nib.Nifti1Image.from_bytes(mask_file).dataobj).astype(np.uint8)
    if head.has_affine:
        turned = nib.as_closest_canonical(nib.Nifti1Image(removed, stored.affine))
        removed = np.asarray(turned.dataobj)
    return removed.astype(bool)


def run_one(head: ChangedHead, tools: Tools, settings: Settings) -> dict[str, object]:
    """Deface a changed head and judge what came out."""
    path = tools.scratch_dir / "changed.nii"
    stored = write_changed(path, head)
    began = time.process_time()
    outcome = deface(read_head_image(path, "the head"), tools, settings)
    line: dict[str, object] = {
        "cpu_s": round(time.process_time() - began, 2),
        "used": outcome.chosen,
        "fits": {fit.name: round(fit.dice, 3) for fit in outcome.fits},
        "gates": {gate.name: round(gate.value, 4) for gate in outcome.gates},
        "failed": [gate.name for gate in outcome.failed],
        "has_face": outcome.has_face,
        "seen": [outcome.sightings.before, outcome.sightings.after] if outcome.sightings else None,
    }
    if outcome.mask is None:
        return line | {"verdict": "refused"}
    removed = removed_by(outcome.mask, stored, head)
    scored = score(head, removed)
    is_bad = scored["brain_lost"] > 0
    for name, least in (("face", LEAST_FACE), ("ears", LEAST_EARS)):
        is_bad |= scored[f"{name}_points"] >= FEWEST_POINTS and scored[name] < least
    return line | scored | {"verdict": "SILENT FAILURE" if is_bad else "passed"}


def _cases(
    heads: dict[str, Path], morphs: int, changes: list[str]
) -> Iterator[tuple[str, Path, int, str]]:
    for change in changes:
        for name, path in heads.items():
            for morph in range(morphs + 1):
                yield name, path, morph, change


def _work(case: tuple[str, Path, int, str], voxel_mm: float, *, is_strict: bool) -> str:
    name, path, morph, change = case
    head = read_head(path, PARTS[name], voxel_mm)
    if morph:
        head = morphed(morph)(head)
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(load_template(), BrainMaskNetwork(1), Path(folder))
        settings = Settings(STRICT if is_strict else NORMAL)
        line = run_one(CHANGES[change](replace(head)), tools, settings)
    shown = f"{name}~{morph}" if morph else name
    return json.dumps({"head": shown, "change": change} | line)


def print_table(lines: list[dict[str, object]]) -> None:
    """Print each case that did not pass, and the counts."""
    for line in lines:
        if line["verdict"] != "passed":
            figures = {key: line.get(key) for key in ("face", "ears", "brain_lost", "failed")}
            print(f"{line['head']:12} {line['change']:20} {line['verdict']:14} {figures}")
    for field in ("head", "change"):
        print(f"\n{field:22} passed refused silent   least face, ears; brain lost")
        for each in dict.fromkeys(str(line[field]) for line in lines):
            own = [line for line in lines if line[field] == each]
            counts = [
                sum(line["verdict"] == verdict for line in own)
                for verdict in ("passed", "refused", "SILENT FAILURE")
            ]
            least = [
                min(
                    (
                        float(str(line[part]))
                        for line in own
                        if part in line and int(str(line[f"{part}_points"])) >= FEWEST_POINTS
                    ),
                    default=float("nan"),
                )
                for part in ("face", "ears")
            ]
            lost = sum(int(str(line.get("brain_lost", 0))) for line in own)
            print(
                f"{each:22} {counts[0]:6} {counts[1]:7} {counts[2]:6}   "
                f"{100 * least[0]:5.1f} {100 * least[1]:5.1f}; {lost}"
            )
    passed = sum(line["verdict"] == "passed" for line in lines)
    silent = sum(line["verdict"] == "SILENT FAILURE" for line in lines)
    print(
        f"\n{passed} of {len(lines)} passed ({100 * passed / max(len(lines), 1):.1f} %), "
        f"{len(lines) - passed - silent} refused, {silent} silent failures"
    )


def main() -> None:
    """Run what the log does not hold yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--changes", nargs="*", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument("--morphs", type=int, default=0)
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--strict", action="store_true")
    asked = parser.parse_args()
    heads = {name: Path(path) for name, _, path in (each.partition("=") for each in asked.heads)}
    done = asked.log.read_text(encoding="utf-8").splitlines() if asked.log.exists() else []
    known = {(line["head"], line["change"]) for line in map(json.loads, done)}
    until = time.monotonic() + asked.seconds
    waiting = [
        case
        for case in _cases(heads, asked.morphs, asked.changes)
        if (f"{case[0]}~{case[2]}" if case[2] else case[0], case[3]) not in known
    ]
    with ProcessPoolExecutor(asked.jobs) as pool, asked.log.open("a", encoding="utf-8") as log:
        while waiting and time.monotonic() < until:
            some, waiting = waiting[: asked.jobs], waiting[asked.jobs :]
            for line in [
                pool.submit(_work, case, asked.voxel_mm, is_strict=asked.strict) for case in some
            ]:
                log.write(line.result() + "\n")
                log.flush()
    lines = [json.loads(line) for line in asked.log.read_text(encoding="utf-8").splitlines()]
    print_table(lines)
    if waiting:
        sys.stderr.write(f"{len(waiting)} cases were not run\n")


if __name__ == "__main__":
    main()

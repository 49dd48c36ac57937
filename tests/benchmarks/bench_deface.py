"""What defacing costs beside niimath's own, quickshear and a plain affine, on one head in one run.

Run: ``.venv/bin/python tests/benchmarks/bench_deface.py HEAD.nii.gz [--quickshear PROGRAM]``

``PROGRAM`` is quickshear of an environment of its own (``uv pip install quickshear``), which is
given this project's brain mask; its time is that of the cut alone. The plain affine is
SimpleITK's mutual information from the centres of mass, carrying this project's mask. Prints wall
and processor times, peak memory of a process of its own, and ratios to niimath. Ratios within one
run can be compared between machines; seconds cannot.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import niimath
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses

from containers.deface.gates import NORMAL
from containers.deface.grids import to_itk
from containers.deface.images import read_head_image, write_file
from containers.deface.pipeline import Settings, Tools, deface
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskNetwork, main_body


def _measured(action: Callable[[], None]) -> tuple[float, float, float]:
    """Return wall s, processor s and peak MB of an action in a process of its own."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit("one of the programs failed")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _own(head_path: Path, out_dir: Path, *, is_fast: bool) -> None:
    image = read_head_image(head_path, "the head")
    tools = Tools(load_template(), BrainMaskNetwork(), out_dir)
    outcome = deface(image, tools, Settings(NORMAL, is_fast=is_fast))
    if outcome.result is None:
        raise SystemExit("the head was refused")
    write_file(out_dir / "own.nii.gz", outcome.result)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stderr.write(f"  niimath within it: {children.ru_maxrss / 1024:.0f} MB\n")


def _niimath(head_path: Path, out_dir: Path) -> None:
    template = load_template()
    spacing = np.diag([*template.head_grid.spacing_mm, 1.0])
    first = [
        round(-start / step)
        for start, step in zip(template.field_grid.origin_mm, (2.0,) * 3, strict=True)
    ]
    inner = tuple(
        slice(start, start + size) for start, size in zip(first, template.head.shape, strict=True)
    )
    keep = (np.maximum(template.face, template.ears)[inner] <= 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(template.head, spacing), out_dir / "head.nii")
    nib.save(nib.Nifti1Image(keep, spacing), out_dir / "keep.nii")
    program = [niimath.bin, str(head_path), "-deface", str(out_dir / "head.nii")]
    subprocess.run([*program, str(out_dir / "keep.nii"), str(out_dir / "n.nii.gz")], check=True)


def _affine(head_path: Path, _out_dir: Path) -> None:
    image = read_head_image(head_path, "the head")
    template = load_template()
    shrink = [max(1, round(4 / each)) for each in image.voxel_mm]
    moving = to_itk(image.volume[tuple(slice(None, None, each) for each in shrink)], _grid(image))
    fixed = sitk.Cast(to_itk(template.head, template.head_grid), sitk.sitkFloat32)
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start)
    method.Execute(fixed, moving)


def _grid(image: object) -> object:
    from containers.deface.template import Grid  # noqa: PLC0415 - one use

    voxel_mm = image.voxel_mm  # type: ignore[attr-defined]
    spacing = tuple(each * max(1, round(4 / each)) for each in voxel_mm)
    return Grid((0, 0, 0), spacing, (0.0, 0.0, 0.0))  # type: ignore[arg-type]


def _quickshear(program: str, head_path: Path, mask_path: Path, out_dir: Path) -> None:
    subprocess.run([program, str(head_path), str(mask_path), str(out_dir / "q.nii.gz")], check=True)


def main() -> None:
    """Run each once and print the table."""
    head_path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        out_dir = Path(folder)
        programs: dict[str, Callable[[], None]] = {
            "niimath -deface": lambda: _niimath(head_path, out_dir),
            "deface": lambda: _own(head_path, out_dir, is_fast=False),
            "deface --fast": lambda: _own(head_path, out_dir, is_fast=True),
            "plain affine": lambda: _affine(head_path, out_dir),
        }
        if "--quickshear" in sys.argv:
            program = sys.argv[sys.argv.index("--quickshear") + 1]
            image = nib.as_closest_canonical(nib.load(head_path))
            zooms = tuple(float(each) for each in image.header.get_zooms()[:3])
            found = BrainMaskNetwork().predict(image.get_fdata(dtype=np.float32))
            brain = main_body(found, (zooms[0], zooms[1], zooms[2])).astype(np.uint8)
            nib.save(nib.Nifti1Image(brain, image.affine), out_dir / "brain.nii.gz")
            nib.save(image, out_dir / "canonical.nii.gz")
            programs["quickshear (cut alone)"] = lambda: _quickshear(
                program, out_dir / "canonical.nii.gz", out_dir / "brain.nii.gz", out_dir
            )
        base_s = 0.0
        for name, action in programs.items():
            wall_s, cpu_s, peak_mb = _measured(action)
            base_s = base_s or cpu_s
            print(
                f"{name:24} {wall_s:6.1f} s wall {cpu_s:6.1f} s processor "
                f"({cpu_s / base_s:4.1f} x niimath) {peak_mb:6.0f} MB"
            )


if __name__ == "__main__":
    main()

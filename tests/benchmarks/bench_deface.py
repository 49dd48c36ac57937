"""What defacing costs and leaves beside niimath's own, quickshear and pydeface's mask, in one run.

Run: ``.venv/bin/python tests/benchmarks/bench_deface.py NAME=HEAD.nii.gz --pydeface WHEEL
[--quickshear PROGRAM]``

``NAME`` has its parts in ``bench_deface_robust.py``, by which every result is scored alike: share
of the face's and the ears' skin that is gone by 3 mm, voxels of brain lost. ``WHEEL`` is that of
pydeface 2.1.0: its average and its mask are carried over by SimpleITK's affine from the centres of
mass, as pydeface itself needs FSL, and are given to niimath too. ``PROGRAM`` is quickshear of an
environment of its own; it is given this project's brain mask, so its time is that of the cut
alone. Prints wall and processor times and peak memory of processes of their own, and ratios to
niimath: these can be compared between machines, seconds cannot.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import niimath
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses

from containers.deface.detector_process import detector_process
from containers.deface.gates import NORMAL
from containers.deface.images import read_head_image, write_file
from containers.deface.pipeline import Settings, Tools, deface
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskNetwork
from tests.benchmarks.bench_deface_robust import PARTS, read_head, score
from tests.builders.head_changes import ChangedHead

_FIT_MM = 4.0
_NATIVE = 0.0


@dataclass(frozen=True)
class Task:
    """A head in a file whose axes point right, front, up, and where to write."""

    head_path: Path
    out_dir: Path

    def result(self, name: str) -> Path:
        """Return where a program's result goes."""
        return self.out_dir / f"{name}.nii.gz"


def _measured(action: Callable[[], None]) -> tuple[float, float, float]:
    """Return wall s, processor s and peak MB of an action in a process of its own."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told to the parent by the exit code
            print(error)
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit("one of the programs failed")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _own(task: Task, name: str, *, is_fast: bool) -> None:
    image = read_head_image(task.head_path, "the head")
    tools = Tools(load_template(), BrainMaskNetwork(), task.out_dir)
    outcome = deface(image, tools, Settings(NORMAL, is_fast=is_fast))
    if outcome.result is None:
        raise SystemExit("the head was refused")
    write_file(task.result(name), outcome.result)
    # So that its processor time counts.
    detector_process().end()


def _niimath(task: Task, average: Path, keep: Path) -> None:
    program = [niimath.bin, str(task.head_path), "-deface", str(average), str(keep)]
    subprocess.run([*program, str(task.result("niimath"))], check=True)


def _affine(task: Task, average: Path, keep: Path) -> None:
    """Carry pydeface's mask over by mutual information, as its own program does with FSL."""
    head, fixed = (
        sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (task.head_path, average)
    )
    small, target = (
        sitk.Shrink(each, [max(1, round(_FIT_MM / step)) for step in each.GetSpacing()])
        for each in (head, fixed)
    )
    start = sitk.CenteredTransformInitializer(
        small, target, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start)
    found = method.Execute(small, target)
    mask = sitk.Resample(
        sitk.ReadImage(str(keep), sitk.sitkFloat32), head, found, sitk.sitkNearestNeighbor, 1.0
    )
    sitk.WriteImage(
        head * sitk.Cast(mask > 0, sitk.sitkFloat32), str(task.result("pydeface's mask"))
    )


def _quickshear(task: Task, program: str, brain: Path) -> None:
    command = [program, str(task.head_path), str(brain), str(task.result("quickshear"))]
    subprocess.run(command, check=True)


def _prepared(head_path: Path, wheel: Path, out_dir: Path) -> tuple[Task, Path, Path]:
    with zipfile.ZipFile(wheel) as archive:
        for name in ("mean_reg2mean", "facemask"):
            content = archive.read(f"pydeface/data/{name}.nii.gz")
            (out_dir / f"{name}.nii.gz").write_bytes(content)
    image = nib.as_closest_canonical(nib.load(head_path))
    nib.save(image, out_dir / "head.nii.gz")
    task = Task(out_dir / "head.nii.gz", out_dir)
    return task, out_dir / "mean_reg2mean.nii.gz", out_dir / "facemask.nii.gz"


def _scored(task: Task, name: str, head: ChangedHead) -> dict[str, float]:
    before, after = (
        np.asarray(nib.load(path).dataobj, np.float32)
        for path in (task.head_path, task.result(name))
    )
    # What was set to air, and not what a program stored with other roundings.
    removed = (abs(after) < 0.5) & (abs(before) >= 0.5)
    return score(head, removed)


def main() -> None:
    """Run each once and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("head", metavar="NAME=FILE")
    parser.add_argument("--pydeface", type=Path, required=True)
    parser.add_argument("--quickshear")
    asked = parser.parse_args()
    name, _, path = asked.head.partition("=")
    with tempfile.TemporaryDirectory() as folder:
        task, average, keep = _prepared(Path(path), asked.pydeface, Path(folder))
        head = read_head(task.head_path, PARTS[name], _NATIVE)
        programs: dict[str, Callable[[], None]] = {
            "niimath": lambda: _niimath(task, average, keep),
            "deface": lambda: _own(task, "deface", is_fast=False),
            "deface --fast": lambda: _own(task, "deface --fast", is_fast=True),
            "pydeface's mask": lambda: _affine(task, average, keep),
        }
        if asked.quickshear:
            brain = task.out_dir / "brain.nii.gz"
            affine = nib.load(task.head_path).affine
            nib.save(nib.Nifti1Image(head.brain.astype(np.uint8), affine), brain)
            programs["quickshear"] = lambda: _quickshear(task, asked.quickshear, brain)
        base_s = 0.0
        for each, action in programs.items():
            wall_s, cpu_s, peak_mb = _measured(action)
            base_s = base_s or cpu_s
            left = _scored(task, each, head)
            print(
                f"{each:16} {wall_s:6.1f} s wall {cpu_s:6.1f} s processor "
                f"({cpu_s / base_s:4.1f} x niimath) {peak_mb:5.0f} MB; gone: face "
                f"{left['face']:.1%}, ears {left['ears']:.1%}; brain lost {left['brain_lost']:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

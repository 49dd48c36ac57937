"""Values of mriqc-substituted beside winqc's, on one T1w image (about ten minutes).

    python tests/benchmarks/bench_mriqc.py [IMAGE.nii.gz [RECORD.json]]

Needs Docker and the image of ``winxnat image build mriqc``, or the record that MRIQC made of the
same image; the image to measure is the sample T1w unless another is given. Prints one line for each
measure that both have, with a star where they differ by more than 5 % (15 % for three measures).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SAMPLES = Path(os.environ.get("WINXNAT_SAMPLES", Path(__file__).parents[3] / "shared" / "data"))
_ABOUT = frozenset({"bids_meta", "provenance", "undefined"})
_LOOSE = frozenset({"inu_range", "qi_2", "fber"})
_TOLERANCE, _LOOSE_TOLERANCE = 0.05, 0.15


def _run(command: str, engine: str, folder: Path, out: Path) -> dict[str, float]:
    began = time.monotonic()
    program = Path(sys.executable).with_name("winxnat")
    subprocess.run([program, "run", command, str(folder), str(out), "--engine", engine], check=True)
    print(f"{command}: {time.monotonic() - began:.0f} s")
    (record,) = out.glob("qc/*_T1w.json")
    return _numbers(record)


def _numbers(record: Path) -> dict[str, float]:
    values = json.loads(record.read_text(encoding="utf-8"))
    about = values["provenance"]
    print(f"  {about.get('software', 'mriqc')} {about['version']}")
    return {
        name: value
        for name, value in values.items()
        if name not in _ABOUT and isinstance(value, int | float)
    }


def main() -> None:
    """Print the table."""
    image = Path(sys.argv[1]) if sys.argv[1:] else _SAMPLES / "mri" / "studyforrest_T1w.nii.gz"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        target = folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
        target.parent.mkdir(parents=True)
        shutil.copy(image, target)
        ours = _run("winqc", "process", folder, Path(name) / "winqc")
        if sys.argv[2:]:
            theirs = _numbers(Path(sys.argv[2]))
        else:
            theirs = _run("mriqc", "docker", folder, Path(name) / "mriqc")
    print(f"{'measure':<20} {'mriqc':>12} {'winqc':>12} {'ratio':>7}")
    for measure in sorted(ours.keys() & theirs.keys()):
        if not theirs[measure]:
            print(f"{measure:<20} {theirs[measure]:12.5g} {ours[measure]:12.5g}       -")
            continue
        ratio = ours[measure] / theirs[measure]
        is_off = abs(ratio - 1) > (_LOOSE_TOLERANCE if measure in _LOOSE else _TOLERANCE)
        mark = " *" if is_off else ""
        print(f"{measure:<20} {theirs[measure]:12.5g} {ours[measure]:12.5g} {ratio:7.3f}{mark}")


if __name__ == "__main__":
    main()

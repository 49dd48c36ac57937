"""Values of mriqc-substituted beside winqc's, on one T1w image (about ten minutes).

    python tests/benchmarks/bench_mriqc.py [IMAGE.nii.gz]

Needs Docker and the image of ``winxnat image build mriqc``; the image to measure is the sample
T1w unless another is given. Prints one line for each measure that both have.
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


def _run(command: str, engine: str, folder: Path, out: Path) -> dict[str, float]:
    began = time.monotonic()
    program = Path(sys.executable).with_name("winxnat")
    subprocess.run([program, "run", command, str(folder), str(out), "--engine", engine], check=True)
    print(f"{command}: {time.monotonic() - began:.0f} s")
    (record,) = out.glob("qc/*_T1w.json")
    values = json.loads(record.read_text(encoding="utf-8"))
    print(f"  {values['provenance']['software']} {values['provenance']['version']}")
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
        theirs = _run("mriqc", "docker", folder, Path(name) / "mriqc")
    print(f"{'measure':<16} {'mriqc':>12} {'winqc':>12} {'ratio':>7}")
    for measure in sorted(ours.keys() & theirs.keys()):
        ratio = f"{ours[measure] / theirs[measure]:7.3f}" if theirs[measure] else "      -"
        print(f"{measure:<16} {theirs[measure]:12.5g} {ours[measure]:12.5g} {ratio}")


if __name__ == "__main__":
    main()

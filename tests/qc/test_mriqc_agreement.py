"""Formulas against MRIQC's own functions, on equal arrays and masks, to one in a million."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qc import phantom, spatial, temporal, tissues
from qc.anatomical import measure_tissues
from qc.degrade import add_dummies, add_rician_noise, shade
from qc.measure import Measures


@pytest.fixture(scope="module")
def mriqc() -> str:
    """The python of an environment that has MRIQC's functions, or a skip that says how."""
    python = os.environ.get("WINXNAT_MRIQC_PYTHON")
    if not python:
        pytest.skip(
            "MRIQC is not here; make an environment with: pip install nipype==1.10.0 statsmodels "
            "scikit-learn nitime 'numpy<2' toml pyyaml psutil templateflow bids-validator, then "
            "pip install --no-deps mriqc==24.0.2 niworkflows nireports; and set "
            "WINXNAT_MRIQC_PYTHON to its python"
        )
    return python


def test_formulas_are_those_of_mriqc(mriqc: str, tmp_path: Path):
    """All that both have but smoothness, QI2, overlap and what AFNI measures: 1e-6."""
    made = phantom.head((40, 44, 40))
    volume = add_rician_noise(shade(made.volume, 0.2), 25.0, 4).astype(np.float64)
    rng = np.random.default_rng(7)
    shares = {
        name: np.where(mask, rng.uniform(0.6, 1, mask.shape), rng.uniform(0, 0.2, mask.shape))
        for name, mask in made.tissues.items()
    }
    series = add_dummies(phantom.bold_run(30, (16, 16, 8), noise=8.0), 2, excess=2.0)
    np.savez(
        tmp_path / "arrays.npz",
        volume=volume,
        head=made.head,
        air=made.air,
        series=series,
        **shares,
    )

    answer = subprocess.run(
        [mriqc, str(Path(__file__).with_name("mriqc_values.py")), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    wanted = json.loads(answer.stdout.strip().splitlines()[-1])
    measures = Measures()
    measure_tissues(measures, volume, shares, made.air)
    found = {name: value for name, value in measures.values.items() if value is not None}
    changes = temporal.dvars(series.reshape(-1, 30))
    found |= {
        "fber": spatial.fber(volume, made.head),
        "efc": spatial.efc(volume),
        "gsr_x": temporal.gsr(volume, made.head, "x"),
        "gsr_y": temporal.gsr(volume, made.head, "y"),
        "dvars_std": float(changes.std.mean()),
        "dvars_nstd": float(changes.nstd.mean()),
        "dvars_vstd": float(changes.vstd.mean()),
        "dummy_trs": temporal.dummy_count(series),
    }
    found["qi_1"] = tissues.artifact_share(made.air, made.head)
    assert len(wanted) == 56
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name

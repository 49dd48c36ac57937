"""Makes a folder that looks like templateflow's from the ICBM 152 maps that nilearn carries.

The maps are ICBM 152 2009a symmetric at 1 mm without a scalp (V. Fonov et al., NeuroImage 54:313,
2011), where MRIQC takes 2009c asymmetric with one. Not here: programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

TEMPLATE = "MNI152NLin2009cAsym"
"""The name that MRIQC looks for; the content is another template, as its substitutions say."""

_T1W, _GM, _WM = (
    f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz" for part in ("t1", "gm", "wm")
)
_SPLIT_MM = 2
_BRAIN = 0.05
_CARPET_GM, _CARPET_WM = 1, 2


def make_templates(maps_dir: Path, out_dir: Path) -> None:
    """Write the folder.

    Parameters
    ----------
    maps_dir : Path
        ``nilearn/datasets/data`` of an installed nilearn.
    out_dir : Path
        Becomes ``TEMPLATEFLOW_HOME``.
    """
    folder = out_dir / f"tpl-{TEMPLATE}"
    folder.mkdir(parents=True, exist_ok=True)
    t1w = _load(maps_dir / _T1W)
    affine = t1w.affine
    brain = np.asarray(t1w.dataobj, dtype=np.float32)
    grey, white = (_share(maps_dir / name) for name in (_GM, _WM))
    mask = brain > _BRAIN * np.percentile(brain, 99)
    fluid = np.clip(mask - grey - white, 0, 1).astype(np.float32)
    labels = np.where(white > 0.5, _CARPET_WM, np.where(grey > 0.5, _CARPET_GM, 0))  # noqa: PLR2004  # more likely than not
    for resolution, step in ((1, 1), (2, _SPLIT_MM)):
        head = f"tpl-{TEMPLATE}_res-{resolution:02d}"
        maps = {
            "T1w": brain, "T2w": brain, "PD": brain, "boldref": brain, "desc-brain_T1w": brain,
            "desc-brain_mask": mask.astype(np.uint8), "desc-head_mask": mask.astype(np.uint8),
            "label-CSF_probseg": fluid, "label-GM_probseg": grey, "label-WM_probseg": white,
            "desc-carpet_dseg": labels.astype(np.uint8),
        }  # fmt: skip
        scaled = affine @ np.diag([step, step, step, 1])
        for name, data in maps.items():
            thinned = data[::step, ::step, ::step]
            nibabel.Nifti1Image(thinned, scaled).to_filename(folder / f"{head}_{name}.nii.gz")


def _load(path: Path) -> Any:
    return nibabel.load(path)


def _share(path: Path) -> NDArray[np.float32]:
    data = np.asarray(_load(path).dataobj, dtype=np.float32)
    return np.asarray(data / max(float(data.max()), 1e-6))

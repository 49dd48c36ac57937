"""Run by the python of an MRIQC 24.0.2: prints what its own functions give for saved arrays."""

import json
import sys

import nibabel as nib
import numpy as np
from mriqc import config
from mriqc.qc import anatomical, functional
from nipype.algorithms.confounds import compute_dvars, is_outlier


class _Quiet:
    def warning(self, *_words: object) -> None:
        """MRIQC's logger is None outside its command line."""


config.loggers.interface = _Quiet()
folder = sys.argv[1]
data = np.load(f"{folder}/arrays.npz")
volume, head = data["volume"], data["head"].astype(np.uint8)
pvms = {name: data[name] for name in ("csf", "gm", "wm")}
stats = anatomical.summary_stats(volume, {**pvms, "bg": data["air"].astype(np.uint8)})
wm, gm, bg = stats["wm"], stats["gm"], stats["bg"]
found = {
    f"snr_{k}": anatomical.snr(stats[k]["median"], stats[k]["stdv"], stats[k]["n"]) for k in pvms
}
found |= {
    f"snrd_{k}": anatomical.snr_dietrich(stats[k]["median"], bg["mad"], bg["stdv"]) for k in pvms
}
found["cnr"] = anatomical.cnr(wm["median"], gm["median"], bg["stdv"], wm["stdv"], gm["stdv"])
found["cjv"] = anatomical.cjv(wm["median"], gm["median"], wm["mad"], gm["mad"])
found["wm2max"] = anatomical.wm2max(volume, wm["median"])
found["fber"] = anatomical.fber(volume, head, decimals=12)
found["efc"] = anatomical.efc(volume, decimals=12)
found |= {f"icvs_{k}": v for k, v in anatomical.volume_fraction(list(pvms.values())).items()}
copies = [each.copy() for each in pvms.values()]
found |= {f"rpve_{k}": v for k, v in anatomical.rpve(copies, None).items()}
for axis in "xy":
    found[f"gsr_{axis}"] = functional.gsr(volume, head, direction=axis)
series = data["series"]
nib.save(nib.Nifti1Image(series, np.eye(4)), f"{folder}/series.nii")
nib.save(nib.Nifti1Image(np.ones(series.shape[:3], np.uint8), np.eye(4)), f"{folder}/mask.nii")
std, nstd, vstd = compute_dvars(
    f"{folder}/series.nii", f"{folder}/mask.nii", remove_zerovariance=True
)
found |= {"dvars_std": std.mean(), "dvars_nstd": nstd.mean(), "dvars_vstd": vstd.mean()}
found["dummy_trs"] = is_outlier(series[..., :50].mean(axis=(0, 1, 2)))
found["qi_1"] = anatomical.art_qi1(data["air"].astype(np.uint8), head)
for region, values in stats.items():
    found |= {f"summary_{region}_{name}": value for name, value in values.items()}
print(json.dumps({key: float(value) for key, value in found.items()}))  # noqa: T201 - its result

"""How far twelve measures go on scans that people rated: a figure to read, not a threshold.

Data: the 1,101 T1w scans of ABIDE with the exclusions of rater 3 that the package mriqc-learn
ships (Apache-2.0). Method: one site is left out, the model learns from the others, and the area
under the ROC curve is taken within the left-out site; sites without both answers do not count.
Measures were chosen beforehand, not by this data. Needs scikit-learn and mriqc-learn in the
environment that runs it::

    pip install scikit-learn && pip install --no-deps mriqc-learn
    python tests/benchmarks/bench_rated.py
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

MEASURES = (
    "cjv", "cnr", "efc", "fber", "fwhm_avg", "snr_wm", "snr_gm", "snrd_wm", "summary_wm_mad",
    "summary_bg_k", "qi_2", "tpm_overlap_wm",
)  # fmt: skip
JUDGED = ("cjv", "cnr", "efc", "fber", "fwhm_avg", "snr_total", "snrd_total", "inu_range")
"""The judged measures of T1w that MRIQC has too."""
_EXCLUDED = "-1"
_SKEWED = 4.0


def _load() -> tuple[list[dict[str, str]], np.ndarray, np.ndarray]:
    found = importlib.util.find_spec("mriqc_learn")
    if found is None or found.origin is None:
        sys.exit("mriqc-learn is not installed here: pip install --no-deps mriqc-learn")
    path = Path(found.origin).parent / "datasets" / "abide.tsv"
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    excluded = np.array([row["rater_3"] == _EXCLUDED for row in rows], dtype=int)
    return rows, excluded, np.array([row["site"] for row in rows])


def _matrix(rows: list[dict[str, str]], measures: tuple[str, ...]) -> np.ndarray:
    table = np.array([[float(row[name] or "nan") for name in measures] for row in rows])
    for column in table.T:
        column[np.isnan(column)] = np.nanmedian(column)
        if column.min() > 0 and column.max() > _SKEWED * np.median(column):
            column[:] = np.log(column)
    return table


def _within_site(model: object, table: np.ndarray, truth: np.ndarray, site: np.ndarray) -> str:
    scores = np.zeros(len(truth))
    for left_out in sorted(set(site)):
        test = site == left_out
        model.fit(table[~test], truth[~test])
        scores[test] = model.predict_proba(table[test])[:, 1]
    areas = [
        roc_auc_score(truth[site == name], scores[site == name])
        for name in sorted(set(site))
        if 0 < truth[site == name].sum() < (site == name).sum()
    ]
    pooled = roc_auc_score(truth, scores)
    return (
        f"within site: median {np.median(areas):.3f}, mean {np.mean(areas):.3f} of {len(areas)} "
        f"sites; pooled {pooled:.3f}"
    )


def main() -> None:
    """Print the areas under the curve."""
    rows, truth, site = _load()
    print(f"{len(rows)} scans, {int(truth.sum())} excluded by rater 3, {len(set(site))} sites")
    models = {
        "logistic regression": make_pipeline(
            QuantileTransformer(n_quantiles=200, output_distribution="normal"),
            LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000),
        ),
        "extremely random trees": ExtraTreesClassifier(
            300, min_samples_leaf=5, class_weight="balanced", random_state=0
        ),
    }
    for label, measures in (("twelve measures", MEASURES), ("judged by winqc", JUDGED)):
        table = _matrix(rows, measures)
        for name, model in models.items():
            print(f"  {label:16} {name:22} {_within_site(model, table, truth, site)}")


if __name__ == "__main__":
    main()

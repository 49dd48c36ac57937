"""How far twelve measures go on scans that people rated: a figure to read, not a threshold.

Data: the 1,101 T1w scans of ABIDE with the decisions of rater 3 that the package mriqc-learn ships
(Apache-2.0). Method: one site is left out, the model learns from the others, and the area under
the ROC curve is taken within the left-out site. The measures, the models and their settings were
chosen beforehand, not by this data; nothing is ever learned from the left-out site's decisions.
"Within site" scales each measure by the site's own median and median absolute deviation, as
winqc's norms do; that needs its images and nobody's decision.

Two questions are asked: excluded against all others, doubtful ones among them; and excluded
against accepted, doubtful ones left out. Sites of which fewer than five scans were excluded are
shown apart too: with one excluded scan an area is little more than its rank. Needs scikit-learn and
mriqc-learn in the environment that runs it::

    pip install scikit-learn && pip install --no-deps mriqc-learn
    python -m tests.benchmarks.bench_rated
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from qc.definitions import definition_of

MEASURES = (
    "cjv", "cnr", "efc", "fber", "fwhm_avg", "snr_wm", "snr_gm", "snrd_wm", "summary_wm_mad",
    "summary_bg_k", "qi_2", "tpm_overlap_wm",
)  # fmt: skip
JUDGED = ("cjv", "cnr", "efc", "fber", "fwhm_avg", "snr_total", "snrd_total", "inu_range")
"""The judged measures of T1w that MRIQC has too."""
_EXCLUDED, _DOUBTFUL = "-1", "0"
_SKEWED = 4.0
_MAD_TO_SIGMA = 0.6744897501960817
_FARTHEST = 10.0
_ENOUGH = 5


@dataclass(frozen=True)
class Scans:
    """Rows of the table, whether each was excluded, and its site."""

    rows: list[dict[str, str]]
    excluded: np.ndarray
    site: np.ndarray


def _load(*, with_doubtful: bool) -> Scans:
    found = importlib.util.find_spec("mriqc_learn")
    if found is None or found.origin is None:
        sys.exit("mriqc-learn is not installed here: pip install --no-deps mriqc-learn")
    path = Path(found.origin).parent / "datasets" / "abide.tsv"
    with path.open(encoding="utf-8") as stream:
        rows = [
            row
            for row in csv.DictReader(stream, delimiter="\t")
            if with_doubtful or row["rater_3"] != _DOUBTFUL
        ]
    excluded = np.array([row["rater_3"] == _EXCLUDED for row in rows], dtype=int)
    return Scans(rows, excluded, np.array([row["site"] for row in rows]))


def _matrix(scans: Scans, measures: tuple[str, ...]) -> np.ndarray:
    table = np.array([[float(row[name] or "nan") for name in measures] for row in scans.rows])
    for column in table.T:
        column[np.isnan(column)] = np.nanmedian(column)
        if column.min() > 0 and column.max() > _SKEWED * np.median(column):
            column[:] = np.log(column)
    return table


def _scaled(table: np.ndarray, site: np.ndarray) -> np.ndarray:
    """Return robust z of each value within its site."""
    scaled = np.empty_like(table)
    for name in set(site):
        own = table[site == name]
        away = own - np.median(own, axis=0)
        spread = np.median(np.abs(away), axis=0) / _MAD_TO_SIGMA
        scaled[site == name] = away / np.where(spread > 0, spread, 1.0)
    return np.clip(scaled, -_FARTHEST, _FARTHEST)


def _learned(model: object, table: np.ndarray, scans: Scans) -> np.ndarray:
    scores = np.zeros(len(scans.excluded))
    for left_out in sorted(set(scans.site)):
        test = scans.site == left_out
        model.fit(table[~test], scans.excluded[~test])
        scores[test] = model.predict_proba(table[test])[:, 1]
    return scores


def _farthest(scaled: np.ndarray, measures: tuple[str, ...]) -> np.ndarray:
    """Return how far the worst measure lies on its bad side, as a verdict has it."""
    sides = [1 if definition_of(name).better == "lower" else -1 for name in measures]
    return np.asarray((scaled * sides).max(axis=1))


def _told(scores: np.ndarray, scans: Scans) -> str:
    areas, counts = [], []
    for name in sorted(set(scans.site)):
        own = scans.site == name
        if 0 < scans.excluded[own].sum() < own.sum():
            areas.append(roc_auc_score(scans.excluded[own], scores[own]))
            counts.append(scans.excluded[own].sum())
    every, enough = np.array(areas), np.array(areas)[np.array(counts) >= _ENOUGH]
    return (
        f"median {np.median(every):.3f}, mean {every.mean():.3f} of {every.size} sites; "
        f"median {np.median(enough):.3f}, mean {enough.mean():.3f} of {enough.size} with "
        f"{_ENOUGH} exclusions or more"
    )


def _report(scans: Scans) -> None:
    logistic = LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000)
    trees = ExtraTreesClassifier(300, min_samples_leaf=5, class_weight="balanced", random_state=0)
    normal = QuantileTransformer(n_quantiles=200, output_distribution="normal")
    table, judged = _matrix(scans, MEASURES), _matrix(scans, JUDGED)
    scaled, judged_scaled = _scaled(table, scans.site), _scaled(judged, scans.site)
    for words, scores in (
        ("twelve, as they are, logistic", _learned(make_pipeline(normal, logistic), table, scans)),
        ("twelve, as they are, trees", _learned(trees, table, scans)),
        ("twelve, within site, logistic", _learned(logistic, scaled, scans)),
        ("twelve, within site, trees", _learned(trees, scaled, scans)),
        ("judged, within site, logistic", _learned(logistic, judged_scaled, scans)),
        ("judged, farthest, nothing learned", _farthest(judged_scaled, JUDGED)),
    ):
        print(f"  {words:34}{_told(scores, scans)}")


def main() -> None:
    """Print the areas under the curve."""
    for with_doubtful, words in ((True, "all others"), (False, "accepted")):
        scans = _load(with_doubtful=with_doubtful)
        count, sites = int(scans.excluded.sum()), len(set(scans.site))
        print(f"{count} excluded against {len(scans.rows) - count} {words}, {sites} sites")
        _report(scans)


if __name__ == "__main__":
    main()

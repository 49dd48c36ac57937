"""How many series are classed rightly: sample sessions and public sidecars, with and without names.

Run: ``.venv/bin/python tests/benchmarks/bench_classification.py [SAMPLES_FOLDER]``

Prints for each benchmark how many series are right, misfiled and wrongly left out, and below it
every one that is not right.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.builders.classification_scores import (  # noqa: E402 - after the path is set
    Score,
    converted_samples,
    score_samples,
    score_sidecars,
)


def show(title: str, score: Score) -> None:
    """Print one score."""
    right, total = score.right.total(), score.total.total()
    print(
        f"{title}: {right}/{total} right ({score.share:.1%}; mean of groups "
        f"{score.mean_share:.1%}), {len(score.misfiled)} misfiled, {len(score.left_out)} left out"
    )
    for group in sorted(score.total):
        if score.right[group] < score.total[group]:
            print(f"    {group}: {score.right[group]}/{score.total[group]}")
    for line in sorted(score.misfiled + score.left_out):
        print(f"    - {line}")


def main() -> None:
    """Score and print."""
    samples = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    with tempfile.TemporaryDirectory() as keep:
        sessions = converted_samples(samples, Path(keep))
        for blank in (False, True):
            names = "names blanked" if blank else "with names"
            show(f"sample sessions, {names}", score_samples(samples, sessions, blank=blank))
            show(f"public sidecars, {names}", score_sidecars(samples, blank=blank))


if __name__ == "__main__":
    main()

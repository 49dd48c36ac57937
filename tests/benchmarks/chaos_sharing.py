"""Disturb a watched site for some minutes, and print every exposure window.

    python -m tests.benchmarks.chaos_sharing --minutes 10

People open projects, add members, share sessions, edit files and make tokens through xnatpy; the
loop runs beside. Without --storm they wait until one deed is undone before the next, so that each
window is one exposure. Printed: what was done, how long a stranger could read what, and whether
anything is still open at the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from tests.builders import chaos, watched


def main() -> int:
    """Run it; exit code 1 if anything stayed open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between cycles")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storm", action="store_true",
                        help="do not wait for one deed to be undone before the next")  # fmt: skip
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["WINXNAT_LINK_KEYS"] = str(folder / "keys")
        with (
            watched.running_servers(folder / "servers") as servers,
            chaos.stage_set(folder, servers) as stage,
        ):
            disturbance = chaos.Chaos(
                stage, seed=chosen.seed, every_s=chosen.every, storm=chosen.storm
            )
            outcome = disturbance.run(chosen.minutes * 60)
    print(f"deeds: {sum(outcome.deeds.values())} done, {outcome.refused} refused by the server")
    for deed, times in sorted(outcome.deeds.items()):
        print(f"  {deed:22} {times}")
    cycles = [one.seconds for one in outcome.cycles]
    print(f"cycles: {len(cycles)}, median {statistics.median(cycles):.2f} s, "
          f"longest {max(cycles):.2f} s; critical differences repaired: "
          f"{outcome.repaired_critical}")  # fmt: skip
    lengths = sorted(one.seconds for one in outcome.windows)
    bound = chosen.every + 2 * max(cycles)
    if lengths:
        print(f"windows in which a stranger could read: {len(lengths)}, median "
              f"{statistics.median(lengths):.2f} s, longest {lengths[-1]:.2f} s "
              f"(one loop and its cycles: {bound:.2f} s)")  # fmt: skip
    over = sum(length > bound for length in lengths)
    print(f"windows longer than one loop and its cycles: {over}")
    print(f"critical at the end: {len(outcome.still_wrong)}")
    return 1 if outcome.still_wrong or (over and not chosen.storm) else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How long a check of a release takes: 1,000 participants with two sessions each.

    .venv/bin/python -m tests.benchmarks.bench_share_check

Prints processor time of the whole check, of reading the files alone, and their ratio. Every file
is a few bytes: what is measured is the records, the log, and the opening of files.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.builders import decided, sharing
from xnat_client.sharing import evidence, grants, link_file
from xnat_client.sharing.check import check_release
from xnat_client.sharing.check.folder import observe
from xnat_client.sharing.home import Home
from xnat_client.sharing.vocabulary import Level

PARTICIPANTS = 1000
SESSIONS = 2


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[link_file.KEYS_VARIABLE] = str(folder / "link-keys")
        with sharing.fresh_records(folder) as records:
            site = sharing.make_site(records)
            home = Home(folder / "home", "")
            with records.transaction() as session:
                numbers = [
                    sharing.add_participant(session, site.study_pk, f"BIG{number:05d}")
                    for number in range(PARTICIPANTS)
                ]
                decided.prepare(session, site, now=sharing.NOW)
                row = decided.draft(
                    session, home, site, now=sharing.NOW, participants=numbers, sessions=SESSIONS
                )
            with records.transaction() as session:
                began = time.process_time()
                found = check_release(session, home, row, Level.EXTERNAL, now=sharing.NOW)
                whole = time.process_time() - began
                began = time.process_time()
                seen = observe(evidence.release_folder(home, row))
                reading = time.process_time() - began
                began = time.process_time()
                grants.readers_of(session, row, sharing.NOW)
                readers = time.process_time() - began
    blocked = [one.key for one in found if one.blocks]
    print(f"{PARTICIPANTS} participants, {len(seen.files)} files; blocked by {blocked}")
    print(f"check {whole:.2f} s of processor time, of which files {reading:.2f} s")
    print(f"ratio whole / files {whole / reading:.1f}; readers {readers:.3f} s")


if __name__ == "__main__":
    main()

"""Looking through folders in which a running server makes and removes folders at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def paths_below(folder: Path) -> Iterator[Path]:
    """Yield all that lies below a folder; what goes while it is looked through is passed over.

    ``Path.rglob`` ends with an error if a folder goes between being listed and being opened,
    as the working folder of a run does that has just ended.
    """
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(here, name)

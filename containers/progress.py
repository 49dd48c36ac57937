"""What a step says while it works: lines on the standard error, which is the log of every engine.

``winxnat run`` shows them as they come, a server keeps them with the run (``winxnat jobs logs``).
Never a name of a file that could be a person's: subjects as in ``contract.Accounted``. Not here:
the account of what became of everything (``contract.StepReport``).
"""

from __future__ import annotations

import contextlib
import sys


def tell_progress(line: str) -> None:
    """Write one line to the log, at once; a log that is full or closed stops no work."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this program's messages

"""How the processes that a step starts for its files end: with it, whatever ends it.

Not here: what they do (``scrub_headers.copying``, ``check_identity.processes``).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def begin_worker(parent: int) -> None:
    """Leave signals to the first process, and end when it does, even if it is killed.

    A process that outlives it would write on into a folder that nobody looks at any more.

    Parameters
    ----------
    parent : int
        Number of the first process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

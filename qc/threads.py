"""Has SimpleITK work in one thread, so that its sums are made in one order on every machine.

Its metrics and inner filters take their threads from the process's default, whatever a filter is
told by ``SetNumberOfThreads``: with another default values differ in the sixth digit, and with more
than one thread a fit differs from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import SimpleITK as sitk  # noqa: N813 - its own documentation's name


@contextmanager
def one_thread() -> Iterator[None]:
    """Have all that SimpleITK does meanwhile be done in one thread; then as before."""
    # Typed loosely: the library is untyped.
    process: Any = sitk.ProcessObject
    before = process.GetGlobalDefaultNumberOfThreads()
    process.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        process.SetGlobalDefaultNumberOfThreads(before)

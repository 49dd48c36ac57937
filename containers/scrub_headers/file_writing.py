"""Writes a file whole or not at all, with pixels that go from the original to it untouched.

The pixels of a large file are looked at on their way, so that they are read once; memory does not
grow with them. Not here: what is looked for (``image_policy``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from containers.scrub_headers.encoding import Data
from containers.scrub_headers.image_policy import UnusedBits

PIECE_BYTES = 1 << 20
"""So much is looked at and written at a time, small enough for a processor's cache."""
_COPY_BYTES = 1 << 26
_WINDOW_BYTES = 1 << 24


@dataclass(slots=True)
class Verdict:
    """What is said of an image; ``finish`` is still to be asked when ``bits`` has seen all."""

    sop_class: str
    warnings: list[str]
    bits: UnusedBits | None = None
    finish: Callable[[], list[str]] | None = None

    def close(self) -> None:
        """Say what is to be said of the pixels, once.

        Raises
        ------
        RefusedFileError
            Something is drawn into them.
        """
        if self.finish is not None:
            self.warnings += self.finish()
        self.bits = self.finish = None


def write_file(  # noqa: PLR0913, PLR0917 - what is written, and what is said of it
    target: Path, pieces: tuple[bytes, ...], data: Data, descriptor: int, body: tuple[int, int],
    verdict: Verdict | None = None,
) -> None:  # fmt: skip
    """Write pieces and a part of the source under a temporary name, then give it its own."""
    name = os.fspath(target)
    partial = f"{os.path.dirname(name)}/.partial-{os.getpid()}-{os.path.basename(name)[:200]}"  # noqa: PTH119, PTH120 - pathlib takes longer than the copy
    if not name.startswith("/") and "/" not in name:
        partial = partial.removeprefix("/")
    out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            start, stop = body
            if isinstance(data, bytes):
                _write_both(out, b"".join(pieces), memoryview(data)[start:stop])
            else:
                _write_all(out, b"".join(pieces))
                bits = verdict.bits if verdict is not None else None
                if bits is not None and bits.is_needed:
                    _copy_and_look(descriptor, out, start, stop, bits)
                else:
                    _copy_range(descriptor, out, start, stop)
                if verdict is not None:
                    verdict.close()
        finally:
            os.close(out)
        os.rename(partial, name)  # noqa: PTH104 - as above
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)  # noqa: PTH108 - as above
        raise


def _write_both(out: int, head: bytes, body: memoryview) -> None:
    done = os.writev(out, (head, body))
    if done < len(head):
        _write_all(out, head[done:])
        done = len(head)
    _write_all(out, body[done - len(head) :])


def _write_all(out: int, data: bytes | memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.write(out, data[done:])


def _copy_and_look(source: int, out: int, start: int, stop: int, bits: UnusedBits) -> None:
    """Copy bytes piece by piece, each while it still is in the processor's cache from the look.

    They are mapped window by window: what was mapped counts as memory of this process.
    """
    while start < stop:
        base = start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        end = min(start + _WINDOW_BYTES, stop)
        with (
            mmap.mmap(source, end - base, access=mmap.ACCESS_READ, offset=base) as window,
            memoryview(window) as view,
        ):
            for first in range(start - base, end - base, PIECE_BYTES):
                last = min(first + PIECE_BYTES, end - base)
                bits.look(view, first, last)
                _write_all(out, view[first:last])
        start = end


def _copy_range(source: int, out: int, start: int, stop: int) -> None:
    """Copy bytes inside the kernel."""
    copy = _copy_file_range
    while start < stop:
        size = min(_COPY_BYTES, stop - start)
        try:
            done = copy(source, out, size, start)
        except OSError:
            if copy is not _copy_file_range:
                raise
            # Not between these file systems; nothing was copied by the call that failed.
            copy = _send
            continue
        if done == 0:
            raise OSError("the original became shorter while it was read")
        start += done


def _copy_file_range(source: int, out: int, size: int, start: int) -> int:
    return os.copy_file_range(source, out, size, offset_src=start)


def _send(source: int, out: int, size: int, start: int) -> int:
    return os.sendfile(out, source, start, size)

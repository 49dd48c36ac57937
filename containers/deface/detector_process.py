"""The face detector in a process of its own, which looks while this one goes on.

dlib keeps Python's lock while it looks, a fifth of a second for each picture, so in this process
everything else would wait. Pictures go to its standard input, one byte comes back for each. It
ends when its input does, so with this process, however that ends. Not here: the detector
(``face_detector``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import cache
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from containers.contract import ToolFailedError
from containers.deface.face_detector import load_detector

_SIZE = struct.Struct("=II")
"""Height and width, before the pixels of a picture."""
_NO, _YES = b"\0", b"\1"
_END_S = 10.0


class DetectorProcess:
    """The process; started at once, asked from any thread.

    Raises
    ------
    ToolFailedError
        The process cannot be started, or ended while it was asked.
    """

    def __init__(self) -> None:
        # To be stopped is for the first process, whose end ends this one: signals are held back
        # from the new one, which inherits that, from its first moment.
        stops = {signal.SIGINT, signal.SIGTERM}
        former = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        try:
            # -P: a folder named "containers" in the working directory is not this package.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "containers.deface.detector_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise ToolFailedError(
                f"The face detector cannot be started: {error.strerror}. Make room for one more "
                "process and run it again."
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
        self._lock = threading.Lock()

    def look(self, pictures: Iterable[NDArray[np.uint8]]) -> list[bool]:
        """Return for each grey picture whether it shows a face.

        All are sent before the first answer is waited for, so that one may be drawn while another
        is looked at.
        """
        with self._lock:
            sent = 0
            try:
                for picture in pictures:
                    self._send(picture)
                    sent += 1
            finally:
                # Whatever comes between: an answer left behind would be taken for the next one's.
                seen = [self._answer() for _ in range(sent)]
            return seen

    def end(self) -> None:
        """End the process."""
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            # What a process that ended by itself did not take any more.
            stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        stdout.close()

    def _send(self, picture: NDArray[np.uint8]) -> None:
        stdin, _ = self._pipes()
        try:
            stdin.write(_SIZE.pack(*picture.shape) + picture.tobytes())
            stdin.flush()
        except OSError as error:
            raise _ended() from error

    def _answer(self) -> bool:
        _, stdout = self._pipes()
        said = stdout.read(1)
        if said not in {_NO, _YES}:
            raise _ended()
        return said == _YES

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - asked for above
        assert stdout is not None  # noqa: S101 - as above
        return stdin, stdout


def detector_process() -> DetectorProcess:
    """Return this process's detector, started if it is not yet."""
    return _of_process(os.getpid())


@cache
def _of_process(_number: int) -> DetectorProcess:
    # By number: a fork must not talk into its parent's conversation.
    process = DetectorProcess()
    atexit.register(process.end)
    return process


def _ended() -> ToolFailedError:
    return ToolFailedError(
        "The face detector ended before it had looked at all pictures. Run it again; if it ends "
        "again, look whether memory is short."
    )


def answer(pictures: BinaryIO, answers: BinaryIO) -> None:
    """Look at pictures until there are no more."""
    detector = load_detector()
    while len(head := pictures.read(_SIZE.size)) == _SIZE.size:
        height, width = _SIZE.unpack(head)
        pixels = np.frombuffer(pictures.read(height * width), np.uint8)
        if pixels.size < height * width:
            # Who sent it was killed meanwhile.
            return
        is_seen = detector.sees_face(pixels.reshape(height, width))
        answers.write(_YES if is_seen else _NO)
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        # Who asked was killed meanwhile.
        answer(sys.stdin.buffer, sys.stdout.buffer)

"""Runs dcm2niix on some of a session's files, within limits of time and memory.

Not here: what comes of its images, and what is tried where it crashes (``convert``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dcm2niix

from containers.contract import OutOfResourcesError, StepError, ToolFailedError
from containers.dicom_to_bids.inventory import DicomFile, Inventory, Scan

DCM2NIIX_VERSION = str(dcm2niix.__version__)
_SOME_CONVERTED = 8
"""dcm2niix's exit code when some series could not be converted and others were."""
_NOTHING_CONVERTED = 2
NAME_DIGITS = 8
_LONGEST_LOG_LINE = 200
_CANNOT_WRITE = "Error: Unable to write"
_LEAST_FREE_BYTES = 1 << 16

_MEMORY_DIR = Path("/dev/shm")  # noqa: S108 - only private folders are made in it
_LINKS_PREFIX = "winxnat-links-"
_FRESH_S = 60.0
"""A younger folder may be one that is about to be locked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of dcm2niix may take before it is ended.

    It converts thousands of files in a second, so these are far above what any session needs;
    they end a run that a damaged header sends into a loop, or makes ask for absurd memory.
    Memory is the address space: a base for the program, and so much for each byte of input,
    which compressed pixels need when they are unpacked.
    """

    base_s: float = 300.0
    per_file_s: float = 0.25
    base_bytes: int = 4 << 30
    per_input_byte: int = 32

    def time_s(self, file_count: int) -> float:
        """Return the seconds for a run over so many files."""
        return self.base_s + self.per_file_s * file_count

    def memory_bytes(self, input_bytes: int) -> int:
        """Return the address space for a run over so many bytes."""
        return self.base_bytes + self.per_input_byte * input_bytes


USUAL_LIMITS = Limits()


class RunError(Exception):
    """dcm2niix ended abnormally, by itself or by a limit; ``error`` says so to people."""

    def __init__(self, error: StepError) -> None:
        super().__init__()
        self.error = error


Staged = tuple[tuple[Scan, DicomFile], ...]


@contextlib.contextmanager
def folder_of_links(scratch_dir: Path) -> Iterator[Path]:
    """Make a folder for thousands of links, in memory where the system offers that.

    Links hold no data, but on a disk making and removing them takes longer than reading the
    files that they lead to. What a killed run left in memory is removed by the next.
    """
    home = _MEMORY_DIR if os.access(_MEMORY_DIR, os.W_OK | os.X_OK) else scratch_dir
    if home is _MEMORY_DIR:
        _remove_abandoned(home)
    made = tempfile.TemporaryDirectory(prefix=_LINKS_PREFIX, dir=home)
    with made as name, _opened(Path(name)) as descriptor:
        # The lock ends with the process, however that ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Path(name)


def _remove_abandoned(home: Path) -> None:
    """Remove folders of links of this user that no process has locked."""
    for folder in home.glob(f"{_LINKS_PREFIX}*"):
        # Others may remove or lock the same one at this moment, or own it.
        with contextlib.suppress(OSError), _opened(folder) as descriptor:
            state = os.fstat(descriptor)
            if state.st_uid == os.getuid() and time.time() - state.st_mtime > _FRESH_S:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def empty(folder: Path) -> None:
    """Make a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def run(  # noqa: PLR0913 - one run has this many sides
    inventory: Inventory,
    staged: Staged,
    scan_ids: frozenset[str],
    folders: tuple[Path, Path],
    limits: Limits,
    *,
    is_fresh: bool = True,
) -> str:
    """Run dcm2niix on some scans; return its log.

    The converter sees links with plain names to whole images only, and the name of the first
    file of each image comes back in the image's name: the file's place among ``staged``.
    """
    source_dir, target_dir = folders
    empty(source_dir)
    if is_fresh:
        empty(target_dir)
    input_bytes = file_count = 0
    for number, (scan, file) in enumerate(staged):
        if scan.scan_id in scan_ids:
            (source_dir / f"{number:0{NAME_DIGITS}d}").symlink_to(file.path)
            input_bytes += file.path.stat().st_size
            file_count += 1
    return_code, log = _start(
        [
            dcm2niix.bin,
            *("-g", "i"),  # no defaults file of whoever runs this
            *("-b", "y"),
            *("-ba", "y"),
            *("-z", "n"),
            *("-d", "0"),
            *("-f", "%b"),
            *("-o", str(target_dir)),
            str(source_dir),
        ],
        limits.time_s(file_count),
        limits.memory_bytes(input_bytes),
    )
    _refuse_full_disk(log, target_dir)
    if return_code not in {0, _SOME_CONVERTED, _NOTHING_CONVERTED}:
        raise RunError(
            ToolFailedError(
                f"dcm2niix ended with code {return_code} while converting the session; its "
                f"last line was: {_last_line(inventory, log)}"
            )
        )
    return log


def _start(arguments: Sequence[str], time_s: float, memory_bytes: int) -> tuple[int, str]:
    """Run a program within its limits; return its exit code and what it printed."""
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        # After the start, since nothing is safe between fork and exec; it may have ended already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        try:
            output, _ = process.communicate(timeout=time_s)
        except subprocess.TimeoutExpired as error:
            raise RunError(
                OutOfResourcesError(
                    f"dcm2niix did not end within {time_s:.0f} seconds; look whether the session "
                    "is whole."
                )
            ) from error
        finally:
            process.kill()
    if process.returncode == -signal.SIGKILL:
        raise RunError(
            OutOfResourcesError(
                "dcm2niix was ended by the system while converting the session; give the step "
                "more memory."
            )
        )
    # The log may quote headers in any encoding.
    return process.returncode, output.decode("utf-8", errors="replace")


def _refuse_full_disk(log: str, target_dir: Path) -> None:
    """Raise where images may be missing for want of room, which dcm2niix does not count."""
    is_refused = any(line.startswith(_CANNOT_WRITE) for line in log.splitlines())
    if is_refused or shutil.disk_usage(target_dir).free < _LEAST_FREE_BYTES:
        raise OutOfResourcesError(
            "The temporary folder is full, so images of the session would be missing; make room "
            "there, or name a larger one in TMPDIR."
        )


def _last_line(inventory: Inventory, log: str) -> str:
    """Return the last line of the log without paths; nothing of it if it names a person."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return "(none)"
    line = re.sub(r"\S*/\S*", "(path)", lines[-1])[:_LONGEST_LOG_LINE]
    return "(withheld)" if inventory.identity.touches(line) else line

"""Scrubs all sessions of a folder under one key store, and knows after a stop what is done.

Each session is one run of ``scrub-headers``, as ``winxnat run`` starts it. The record in the
folder of results names sessions by number, because the names of their folders may identify. Not
here: the command line (``deid_cli``), and scrubbing itself.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from commands import catalog
from containers.contract import REPORT_DIR_NAME, REPORT_FILE_NAME, ExitCode, UsageError
from containers.local import EngineKind, run_local

RECORD_NAME = "study.json"
_COMMAND = "scrub-headers"
_RECORD_VERSION = 1
_COLUMNS = ("folder", "subject", "session")
_CODE_BYTES = 5


class State(StrEnum):
    """What became of a session."""

    WAITING = "waiting"
    DONE = "done"
    LEFT_OUT = "left-out"
    """It holds nothing that may be copied."""
    UNSAFE = "unsafe"
    """The check of its copy found something; nothing was kept."""
    FAILED = "failed"


_STATES = {
    ExitCode.DONE: State.DONE,
    ExitCode.BAD_INPUT: State.LEFT_OUT,
    ExitCode.UNSAFE_OUTPUT: State.UNSAFE,
}


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What all sessions have in common; ``secret`` is what the key store holds."""

    profile: str
    keys: Path
    passphrase_file: Path
    secret: bytes
    known: Path | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A folder, the labels it gets, and where its copy goes below the folder of results."""

    number: int
    folder: Path
    subject: str
    session: str
    target: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one session. ``stamp`` tells whether its files and settings have changed."""

    number: int
    target: str
    state: State = State.WAITING
    files: int = 0
    left_out: int = 0
    reason: str = ""
    stamp: str = ""
    exit_code: int = 0


def find_sessions(
    root: Path, pattern: str, labels: Path | None, secret: bytes
) -> tuple[list[Session], int]:
    """Return the sessions of a folder in the order of their paths, and how many files are in none.

    Parameters
    ----------
    pattern : str
        Which folders are sessions, relative to the root, as ``*`` or ``*/*``.
    labels : Path or None
        Table (CSV, or TSV by its ending) with the columns folder, subject and, if wanted, session.
    secret : bytes
        Makes the names of folders without labels; the same folder gets the same name again.

    Raises
    ------
    UsageError
        There is no session, one lies within another, or the table does not fit.
    """
    if not root.is_dir():
        raise UsageError("The study folder does not exist or is no folder. Name another one.")
    folders = sorted(
        (path for path in root.glob(pattern) if path.is_dir() and not path.is_symlink()),
        key=lambda path: os.fsencode(path.relative_to(root).as_posix()),
    )
    inner = sum(one != two and two in one.parents for one in folders for two in folders)
    if not folders or inner:
        found = "one within another" if inner else "none"
        raise UsageError(
            f"Cannot tell the sessions of the study: of the folders {pattern!r}, there are "
            f"{len(folders)}, {found}. Give --sessions a pattern that names each session once."
        )
    table = _labels(labels) if labels is not None else {}
    sessions = [
        _session(number, root, folder, table.get(folder.relative_to(root).as_posix()), secret)
        for number, folder in enumerate(folders, 1)
    ]
    if labels is not None:
        missing = [each.number for each in sessions if not each.subject]
        if missing:
            raise UsageError(
                f"The table of labels has no row for {len(missing)} of {len(sessions)} sessions "
                f"(the first is number {missing[0]} of the folders in order). Add them."
            )
    repeated = [each for each, number in Counter(e.target for e in sessions).items() if number > 1]
    if repeated:
        raise UsageError(
            f"{len(repeated)} pairs of labels stand for more than one session each. Give each "
            "session of a subject its own session label, or none."
        )
    inside = sum(1 for each in sessions for path in each.folder.rglob("*") if not path.is_dir())
    return sessions, sum(1 for path in root.rglob("*") if not path.is_dir()) - inside


def _session(
    number: int, root: Path, folder: Path, row: Mapping[str, str] | None, secret: bytes
) -> Session:
    relative = os.fsencode(folder.relative_to(root).as_posix())
    code = f"x{hmac.digest(secret, b'session folder' + relative, 'sha256')[:_CODE_BYTES].hex()}"
    subject, session = (row["subject"], row.get("session", "")) if row else ("", "")
    target = f"{subject}/{session or code}" if subject else code
    return Session(number, folder, subject, session, target)


def _labels(path: Path) -> dict[str, dict[str, str]]:
    """Read the table; its content is never shown."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter=delimiter, restval="", restkey="more"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"The table of labels cannot be read ({type(error).__name__}). It must be a text in "
            "UTF-8 with the columns folder, subject, session."
        ) from None
    if not rows or not {"folder", "subject"} <= rows[0].keys() <= set(_COLUMNS):
        raise UsageError(
            "The table of labels must have the columns folder and subject, may have session, and "
            "no others; and at least one row."
        )
    found: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, 2):
        values = {key: value.strip() for key, value in row.items()}
        folder = values["folder"].strip("/")
        bad = [v for k, v in values.items() if k != "folder" and v and not _is_label(v)]
        if not folder or folder in found or not values["subject"] or bad:
            raise UsageError(
                f"Line {line} of the table of labels has no folder, one that stood before, no "
                "subject, or a label with other than 1 to 32 letters, digits, _ and -."
            )
        found[folder] = values
    return found


def _is_label(text: str) -> bool:
    plain = text.replace("-", "").replace("_", "")
    return len(text) <= 32 and plain.isascii() and plain.isalnum() and text[0].isalnum()  # noqa: PLR2004 - as the step asks


def scrub_study(
    sessions: Sequence[Session],
    out_dir: Path,
    settings: Settings,
    tell: Callable[[Result, bool], None],
    engine: EngineKind = EngineKind.PROCESS,
) -> list[Result]:
    """Scrub the sessions one after the other; those whose copy is there and current are passed.

    The record is written after each session, so a run that was stopped goes on where it was.

    Parameters
    ----------
    tell : callable
        Takes each result, and whether it is one of an earlier run.

    Raises
    ------
    UsageError
        A folder or value does not fit, before anything was done or for all sessions alike.
    EngineError
        The engine does not answer, or has not the image.
    """
    inside, outside = out_dir.resolve(), [each.folder.resolve() for each in sessions]
    if any(each.is_relative_to(inside) or inside.is_relative_to(each) for each in outside):
        raise UsageError(
            "The study and the folder of results lie within each other. Name two separate folders."
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    record = out_dir / RECORD_NAME
    before = {each.target: each for each in read_record(record)}
    results = [before.pop(e.target, Result(e.number, e.target)) for e in sessions]
    others = list(before.values())  # of calls with another pattern
    for place, session in enumerate(sessions):
        stamp = _stamp(session, settings)
        earlier = replace(results[place], number=session.number)
        report = out_dir / session.target / REPORT_DIR_NAME / REPORT_FILE_NAME
        is_current = (
            earlier.state is State.DONE
            and hmac.compare_digest(earlier.stamp, stamp)
            and report.is_file()
        )
        if is_current:
            results[place] = earlier
        else:
            results[place] = replace(_scrub(session, out_dir, settings, engine), stamp=stamp)
        _write_record(record, [*results, *others])
        tell(results[place], is_current)
        if results[place].exit_code == ExitCode.WRONG_USAGE:
            # A wrong key store or profile is wrong for the others, too.
            raise UsageError(results[place].reason)
    return results


def _scrub(session: Session, out_dir: Path, settings: Settings, engine: EngineKind) -> Result:
    target = out_dir / session.target
    target.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "profile": settings.profile,
        "subject-label": session.subject or None,
        "session-label": session.session or None,
        "known": str(settings.known) if settings.known else None,
        "keys": str(settings.keys),
        "keys-passphrase": str(settings.passphrase_file),
        "strict": settings.strict,
    }
    ended = run_local(catalog.find(_COMMAND), (session.folder, target), values, engine)
    code = ended.exit_code
    result = Result(
        session.number, session.target, _STATES.get(ExitCode(code), State.FAILED)
        if code in set(ExitCode) else State.FAILED, exit_code=code,
    )  # fmt: skip
    if result.state is not State.DONE:
        lines = [each for each in ended.messages.splitlines() if each.strip()]
        reason = lines[-1].removeprefix("Error: ") if lines else "It ended without a word."
        return replace(result, reason=reason)
    report = json.loads((target / REPORT_DIR_NAME / REPORT_FILE_NAME).read_text("utf-8"))
    outcomes = Counter(row["outcome"] for row in report["accounted"])
    return replace(
        result, files=outcomes["done"], left_out=sum(outcomes.values()) - outcomes["done"]
    )


def _stamp(session: Session, settings: Settings) -> str:
    """Return a keyed digest of what a copy depends on: files (name, size, time) and settings."""
    command = catalog.find(_COMMAND)
    parts: list[object] = [command.version, settings.profile, settings.strict]
    parts += [session.subject, session.session]
    for each in (settings.keys, settings.known):
        parts.append(hashlib.sha256(each.read_bytes()).hexdigest() if each else "")
    for path in sorted(session.folder.rglob("*")):
        if not path.is_dir():
            status = path.lstat()
            name = path.relative_to(session.folder).as_posix()
            parts.append((name, status.st_size, status.st_mtime_ns))
    text = repr(parts).encode("utf-8", "surrogateescape")
    return hmac.new(settings.secret, b"session stamp" + text, "sha256").hexdigest()


def read_record(path: Path) -> list[Result]:
    """Return the results of earlier runs; none where there is no record.

    Raises
    ------
    UsageError
        The file is no record of a study.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        rows = content["sessions"]
        if content["record_version"] == _RECORD_VERSION:
            return [Result(**{**row, "state": State(row["state"])}) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        pass
    raise UsageError(
        f"{RECORD_NAME} in the folder of results is no record of a study. Name another "
        "folder, or remove it."
    )


def _write_record(path: Path, results: Iterable[Result]) -> None:
    rows = [asdict(each) for each in results]
    text = json.dumps({"record_version": _RECORD_VERSION, "sessions": rows}, indent=2)
    partial = path.with_suffix(".partial")
    partial.write_text(f"{text}\n", encoding="utf-8")
    partial.replace(path)


def exit_code_of(results: Iterable[Result]) -> int:
    """Return one code for all: unsafe before anything else, then the first that is not 0."""
    codes = [each.exit_code for each in results if each.exit_code]
    return int(ExitCode.UNSAFE_OUTPUT) if ExitCode.UNSAFE_OUTPUT in codes else next(iter(codes), 0)

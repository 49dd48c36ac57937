"""What ``winxnat upload`` prints: the plan, how far it is, and the receipt.

Paths are printed only on demand, and no value of a header ever. Not here: options (``upload``).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from xnat_client.cli.server_options import print_json
from xnat_client.errors import BadInputError
from xnat_client.upload.bulk import BulkReceipt, Outcome, SessionReceipt
from xnat_client.upload.plan import Action, Plan, Row

if TYPE_CHECKING:
    from xnat_client.upload.send_context import Totals
    from xnat_client.upload.session_task import SessionTask

_EVENT_EVERY_S = 1.0
_REDRAW_EVERY_S = 0.1
_STEP = 1000.0


def require_sendable(plan: Plan) -> None:
    """Raise ``BadInputError`` with the first problem of a plan, or if it sends nothing."""
    rows = plan.problem_rows
    if rows:
        more, first = len(rows) - 1, rows[0].problems[0].rstrip(".")
        others = f" {more} more rows have problems." if more else ""
        raise BadInputError(
            f"Nothing was sent. Row {rows[0].number} of the plan: {first}.{others} "
            "--dry-run lists all, with --show-paths also their files."
        )
    if not plan.sent_rows:
        raise BadInputError(
            f"Nothing was sent: none of the {plan.file_count} files is to go anywhere. --dry-run "
            "says why; archives (zip, tar) must be unpacked first."
        )


def print_plan(plan: Plan, *, as_json: bool, show_paths: bool) -> None:
    """Print what would be sent."""
    if as_json:
        print_json(_plan_document(plan, show_paths=show_paths))
        return
    sent = plan.sent_rows
    size = size_text(sum(row.size_bytes for row in sent))
    files = sum(row.unit.file_count for row in sent if row.unit)
    click.echo(f"Nothing is sent. The plan has {files} files to send, {size}:")
    grouped: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in sent:
        grouped[row.project, row.subject, row.session].append(row)
    for (project, subject, session), rows in sorted(grouped.items()):
        waits = any(row.is_dicom for row in rows)
        place = session or (
            "(no session yet)" if waits else subject or "(resources of the project)"
        )
        click.echo(f"{project}  {subject or '-'}  {place}")
        for line in _row_lines(rows):
            click.echo(f"  {line}")
    _print_left_out(plan)
    if show_paths:
        for row in plan.rows:
            if row.problems or row.action is not Action.SEND:
                click.echo(f"row {row.number}: {row.source}: {row.remark}", err=True)
    for text, rows in _by_text(plan.problem_rows).items():
        click.echo(f"PROBLEM ({_rows_text(rows)}): {text}")


def _row_lines(rows: Sequence[Row]) -> list[str]:
    lines: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for row in rows:
        place = f"scan {row.scan}, {row.resource}" if row.scan else f"resource {row.resource}"
        key = (place, row.unit.images[0].modality if row.unit and row.unit.images else "")
        lines[key] += row.unit.file_count if row.unit else 0
        sizes[key] += row.size_bytes
    texts = [
        f"{place}{f' ({modality})' if modality else ''}: {count} files, {size_text(sizes[key])}"
        for key, count in lines.items()
        for place, modality in [key]
    ]
    notes = [f"note ({_rows_text(some)}): {text}" for text, some in _notes(rows).items()]
    return [*texts, *notes]


def _notes(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for text in row.notes:
            found[text].append(row)
    return found


def _by_text(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for text in row.problems:
            found[text].append(row)
    return found


def _rows_text(rows: Sequence[Row]) -> str:
    if len(rows) == 1:
        return f"row {rows[0].number}"
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""  # noqa: PLR2004  # enough to look
    return f"rows {', '.join(str(row.number) for row in rows[:3])}{more}"


def _print_left_out(plan: Plan) -> None:
    reasons: dict[tuple[str, str], int] = Counter()
    for row in plan.rows:
        if row.action is Action.REJECT:
            reasons["rejected", row.notes[0]] += 1
        elif row.action is Action.SKIP:
            reasons["skipped", row.notes[-1] if row.notes else "the plan says so"] += 1
    for (word, reason), count in sorted(reasons.items()):
        click.echo(f"{word}: {count} ({reason})")


def _plan_document(plan: Plan, *, show_paths: bool) -> dict[str, Any]:
    return {
        "event": "plan",
        "dry_run": True,
        "file_count": plan.file_count,
        "rows": [_row_document(row, show_paths=show_paths) for row in plan.rows],
    }


def _row_document(row: Row, *, show_paths: bool) -> dict[str, Any]:
    document = {
        "row": row.number,
        "kind": str(row.unit.kind) if row.unit else "",
        "project": row.project,
        "subject": row.subject,
        "session": row.session,
        "scan": row.scan,
        "resource": row.resource,
        "files": row.unit.file_count if row.unit else 1,
        "size_bytes": row.size_bytes,
        "action": str(row.action),
        "problems": list(row.problems),
        "notes": list(row.notes),
    }
    return {**document, "source": row.source} if show_paths else document


def size_text(size_bytes: int) -> str:
    """Return a size for people, in decimal units."""
    size, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= _STEP and len(units) > 1:
        size /= _STEP
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


class Output:
    """How far it is: a bar on a terminal, JSON lines for machines, else nothing until the end."""

    def __init__(self, plan: Plan, tasks: Sequence[SessionTask], *, as_json: bool) -> None:
        self._plan = plan
        self._tasks = tasks
        self._as_json = as_json
        self._ended = 0
        self._failed = 0
        self._next_at = 0.0
        self._lock = threading.Lock()
        self._bar: Any = None
        self._bar_task: Any = None

    def __enter__(self) -> Self:
        if not self._as_json and sys.stderr.isatty():
            self._bar = _make_bar()
            total = sum(task.size_bytes for task in self._tasks)
            self._bar_task = self._bar.add_task("Sending", total=total, sessions="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, totals: Totals) -> None:
        """Show how far the bytes are, not more often than eyes or logs can use it."""
        now = time.monotonic()
        with self._lock:
            if now < self._next_at:
                return
            self._next_at = now + (_EVENT_EVERY_S if self._as_json else _REDRAW_EVERY_S)
            if self._bar is not None:
                done = f"{self._ended}/{len(self._tasks)} sessions"
                if totals.server_queue is not None:
                    done += f", server queue {totals.server_queue}"
                self._bar.update(self._bar_task, completed=totals.done_bytes, sessions=done)
            elif self._as_json:
                print_json(
                    {
                        "event": "progress",
                        "done_bytes": totals.done_bytes,
                        "total_bytes": totals.total_bytes,
                        "sent_bytes": totals.sent_bytes,
                        "server_queue": totals.server_queue,
                        "sessions_ended": self._ended,
                        "sessions": len(self._tasks),
                    }
                )

    def tell(self, receipt: SessionReceipt) -> None:
        """Say what became of a session."""
        with self._lock:
            self._ended += 1
            if self._as_json:
                print_json({"event": "session", **_session_document(receipt)})
            elif receipt.outcome is Outcome.FAILED:
                self._failed += 1
                click.echo(f"{_words(receipt)}: {receipt.reason}", err=True)

    def print_receipt(self, receipt: BulkReceipt, ledger_path: Path) -> None:
        """Print the receipt."""
        left_out = len(self._plan.rows) - len(self._plan.sent_rows)
        if self._as_json:
            document = receipt.as_json()
            print_json({"event": "receipt", **document, "left_out": left_out})
            return
        confirmed = [one for one in receipt.sessions if one.outcome is Outcome.CONFIRMED]
        size = size_text(sum(one.size_bytes for one in confirmed))
        files = sum(one.files for one in confirmed)
        # Where nothing is confirmed, nothing was found.
        proved = 0 < files <= receipt.files_confirmed
        proof = ", each found on the server by size and MD5" if proved else ""
        click.echo(
            f"{len(confirmed)} of {len(receipt.sessions)} confirmed: {files} files, {size}{proof}; "
            f"{receipt.files_sent} were sent now. {left_out} rows of the plan were left out. "
            f"Ledger: {ledger_path}"
        )
        for line in _rewritten_lines(receipt):
            click.echo(line)
        waiting = sum(one.in_prearchive for one in confirmed)
        if waiting:
            click.echo(
                f"{waiting} sessions wait, whole or in part, in the prearchive: archive them there."
            )
        for one in receipt.sessions:
            if one.outcome is not Outcome.CONFIRMED:
                click.echo(f"not confirmed: {_words(one)} ({one.outcome})")
        if receipt.interrupted:
            click.echo("Interrupted. Run the same command again to go on.", err=True)


def _rewritten_lines(receipt: BulkReceipt) -> list[str]:
    lines = []
    if receipt.files_confirmed and (receipt.files_rewritten or receipt.files_by_uid):
        lines.append(f"{receipt.files_confirmed} files were found by size and MD5.")
    if receipt.files_rewritten:
        lines.append(
            f"{receipt.files_rewritten} files have another header there, by the server's "
            "anonymisation script or the DICOM network; they were read back, and their image data "
            "are those that were sent."
        )
    if receipt.files_by_uid:
        lines.append(
            f"{receipt.files_by_uid} files without image data were found by their UID only: "
            "their headers are others there, and what they say could NOT be compared."
        )
    return lines


def _session_document(receipt: SessionReceipt) -> dict[str, Any]:
    return {
        "project": receipt.project,
        "subject": receipt.subject,
        "session": receipt.session,
        "session_id": receipt.session_id,
        "outcome": str(receipt.outcome),
        "files": receipt.files,
        "files_sent": receipt.files_sent,
        "files_rewritten": receipt.files_rewritten,
        "files_by_uid": receipt.files_by_uid,
        "size_bytes": receipt.size_bytes,
        "in_prearchive": receipt.in_prearchive,
        "reason": receipt.reason,
    }


def _words(receipt: SessionReceipt) -> str:
    if receipt.session:
        return f"session {receipt.session}"
    return f"subject {receipt.subject}" if receipt.subject else f"project {receipt.project}"


def _make_bar() -> Any:
    from rich.console import Console  # noqa: PLC0415  # only on a terminal
    from rich.progress import (  # noqa: PLC0415  # only on a terminal
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("{task.fields[sessions]}"), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip

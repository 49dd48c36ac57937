"""Running steps of a build by a server's Container Service, in a quarantine project.

Only what ``scrub-headers`` gave, under new labels, gets there: each step has a session of its own
with a drawn name, which is removed after it. What comes back is laid out as the local steps lay
it out. Not here: the project (``server_quarantine``), which steps (``session_work``).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.commands_registry import find_available, find_registered
from xnat_client.errors import NotFoundError, RefusedError, XnatClientError
from xnat_client.exchange import StreamBody
from xnat_client.launch import Run, get_state, kill_run, launch_command, read_log
from xnat_client.release.server_quarantine import ServerQuarantine, remove_left_overs
from xnat_client.release.sources import DICOM_DIR
from xnat_client.release.steps import StepRun
from xnat_client.resources import RemoteFile, download_resource, list_files
from xnat_client.upload.server_objects import find_session_by_label, make_subject
from xnat_client.upload.zip_stream import ZipEntry, zip_chunks, zip_size

if TYPE_CHECKING:
    from xnat_client.release.plan import Plan
    from xnat_client.release.request import BuildRequest
    from xnat_client.session import XnatServer
    from xnat_client.sessions import Session
    from xnat_client.sharing.home import Home
    from xnat_client.transport import Transport

_BLOCK_BYTES = 1 << 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_EXIT_TOOL_FAILED = 5
_MAP_RESOURCE, _MAP_FILE = "BIDS_bidsmap", "bidsmap.json"
"""Where ``dicom-to-bids`` looks for a project's map."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a command is run on a session: by which wrapper, from and into which resources."""

    wrapper: str
    given: str
    result: str
    result_dir: str
    report: str


_WAYS: Mapping[str, _Way] = {
    "dicom-to-bids": _Way("dicom-to-bids-session", "DICOM", "BIDS", "bids", "BIDS_REPORT"),
    "deface": _Way("deface-session", "BIDS", "DEFACED", "defaced", "DEFACE_REPORT"),
    "winqc": _Way("winqc-session", "BIDS", "WINQC", "qc", "WINQC_REPORT"),
}
COMMANDS = frozenset(_WAYS)
"""What runs on the server. Not ``scrub-headers`` and ``check-identity``, which are given what must
not be there, nor ``eeg-to-bids``: recordings hold the name of their session."""
_SESSION_TYPE = "xnat:mrSessionData"


@contextmanager
def steps_on(
    home: Home,
    server: XnatServer,
    request: BuildRequest,
    plan: Plan,
    tell: Callable[[str], None],
) -> Iterator[ServerSteps | None]:
    """Give the steps on the server, None if they run here, and leave nothing of them there.

    What an earlier build left is removed in both cases.

    Raises
    ------
    NotFoundError
        The server does not have a command that is needed.
    RefusedByPolicyError
        The quarantine project is not closed.
    """
    removed = remove_left_overs(home, server, request.server)
    if removed:
        tell(f"removed {removed} quarantine projects that earlier builds left on the server")
    if not request.on_server:
        yield None
        return
    quarantine = ServerQuarantine.open(home, server, request.server)
    try:
        steps = ServerSteps(server.transport, quarantine, request.map_path)
        steps.enable(commands_for(plan))
        yield steps
    finally:
        quarantine.remove()


def commands_for(plan: Plan) -> frozenset[str]:
    """Return the commands that a build of these sessions needs on the server."""
    has_dicom = any(DICOM_DIR in one.files.kinds for one in plan.sessions)
    return COMMANDS if has_dicom else COMMANDS - {"dicom-to-bids"}


def require_command(transport: Transport, name: str) -> int:
    """Return the number of a command on the server.

    Raises
    ------
    NotFoundError
        The server does not have it.
    """
    wrapper = _WAYS[name].wrapper
    known = [one for one in find_registered(transport, name) if wrapper in one.wrappers]
    if not known:
        raise NotFoundError(
            f"The server has no command {name} with the wrapper {wrapper}. Ask its "
            "administrator to register it, or build without --on-server."
        )
    return known[-1].command_id


class ServerSteps:
    """Steps in one quarantine project; used by several threads.

    Parameters
    ----------
    quarantine : ServerQuarantine
        Where; its owner removes it.
    map_path : Path or None
        Map for ``dicom-to-bids``.
    """

    def __init__(
        self, transport: Transport, quarantine: ServerQuarantine, map_path: Path | None
    ) -> None:
        self._transport = transport
        self._quarantine = quarantine
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()
        if map_path is not None:
            self._put_map(map_path)

    @property
    def project_id(self) -> str:
        """Return the quarantine project's name, which must be nowhere in a release."""
        return self._quarantine.project_id

    def enable(self, commands: frozenset[str]) -> None:
        """Enable commands in the quarantine project.

        Raises
        ------
        NotFoundError
            The server does not have one.
        """
        for name in sorted(commands):
            wrapper = _WAYS[name].wrapper
            path = path_of(
                "xapi", "projects", self.project_id, "commands",
                str(require_command(self._transport, name)), "wrappers", wrapper, "enabled",
            )  # fmt: skip
            self._transport.request("PUT", path, doing=f"enable {wrapper} in quarantine")

    def stop(self) -> None:
        """End what is running, and let nothing begin."""
        self._stopped.set()

    def run(
        self,
        command: str,
        folders: tuple[Path, Path],
        options: Mapping[str, str],
        names: tuple[str, str],
    ) -> StepRun:
        """Run a command on the files of one folder, and fetch what it gives into another.

        Parameters
        ----------
        options : mapping
            By input name.
        names : tuple of str
            The subject's new label, and the name of the session to make; the latter is drawn and
            used once.

        Raises
        ------
        RefusedByPolicyError
            The quarantine project is not closed.
        XnatClientError
            The server does not answer, or holds something else than was sent.
        """
        way, (source_dir, out_dir) = _WAYS[command], folders
        self._quarantine.require_closed()
        with self._session(names) as session:
            self._send(session, way.given, source_dir)
            run = self._launch(way, session, options)
            code = self._wait(run)
            if code is not None:
                return StepRun(code, self._last_words(run, command))
            out_dir.mkdir(parents=True)
            for label, name in ((way.result, way.result_dir), (way.report, "report")):
                download_resource(self._transport, session, label, out_dir / name)
        return _result(command, out_dir, names[0])

    @contextmanager
    def _session(self, names: tuple[str, str]) -> Iterator[Session]:
        subject, label = names
        path = path_of(
            "data", "projects", self.project_id, "subjects", subject, "experiments", label
        )
        doing = "make a session in quarantine"
        with self._one_at_a_time:
            make_subject(self._transport, self.project_id, subject)
            self._transport.request("PUT", path, doing=doing, query={"xsiType": _SESSION_TYPE})
        session = find_session_by_label(self._transport, self.project_id, label)
        if session is None:
            raise RefusedError(f"Cannot {doing}: the server does not list it.")
        yield session
        # After an error the whole project goes.
        self._transport.request(
            "DELETE", session.path, doing="remove a session in quarantine",
            query={"removeFiles": "true"}, accept=(200, 204),
        )  # fmt: skip

    def _send(self, session: Session, label: str, folder: Path) -> None:
        """Send a folder as one resource, and compare what the server lists with it."""
        entries, digests = _entries(folder)
        owner = f"{session.path}/resources/{label}"
        body = StreamBody(lambda: zip_chunks(entries), zip_size(entries), "application/zip")
        self._transport.request("PUT", owner, doing="make a resource in quarantine")
        self._transport.request(
            "PUT", f"{owner}/files/scrubbed.zip", doing="send files into quarantine", body=body,
            query={"extract": "true", "inbody": "true"},
        )  # fmt: skip
        held = {one.path: one for one in list_files(self._transport, session, label)}
        sizes = {one.name: one.size_bytes for one in entries}
        if {name: one.size_bytes for name, one in held.items()} != sizes or any(
            self._md5(one) != digests[name] for name, one in held.items()
        ):
            raise RefusedError(
                "What the server holds in quarantine is not what was sent, so nothing was "
                "launched. Build again; if it stays so, tell the server's administrator."
            )

    def _md5(self, file: RemoteFile) -> str:
        return file.md5 or self._transport.digest(file.uri, doing="read a sent file back")[1]

    def _put_map(self, map_path: Path) -> None:
        owner = path_of("data", "projects", self.project_id, "resources", _MAP_RESOURCE)
        doing = "give the quarantine project its map"
        self._transport.request("PUT", owner, doing=doing)
        self._transport.request(
            "PUT", f"{owner}/files/{_MAP_FILE}", doing=doing, query={"inbody": "true"},
            body=map_path.read_bytes(), headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip

    def _launch(self, way: _Way, session: Session, options: Mapping[str, str]) -> Run:
        wrapper = find_available(
            self._transport, self.project_id, session.xsi_type, way.wrapper, way.wrapper
        )
        # The service may not say at once which run a launch became: it must be the only new one.
        with self._one_at_a_time:
            self._require_going()
            return launch_command(self._transport, wrapper, session, options)

    def _wait(self, run: Run) -> int | None:
        """Wait for a run's end; return None if it ended well, else its exit code."""
        pause_s = _FIRST_PAUSE_S
        while True:
            state = get_state(self._transport, run)
            if state.is_over:
                return None if state.is_complete else self._exit_code(run)
            if self._stopped.wait(pause_s):
                with suppress(XnatClientError):  # it may be over, or have no container yet
                    kill_run(self._transport, run)
                self._require_going()
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _require_going(self) -> None:
        if self._stopped.is_set():
            raise RefusedError("The build was broken off; start it again to go on.")

    def _exit_code(self, run: Run) -> int:
        """Return the exit code of a run's container; that of a failed tool where none is told."""
        path = path_of("xapi", "projects", self.project_id, "containers")
        rows: Any = self._transport.get_json(path, doing="look at a run in quarantine")
        for row in rows:
            if str(row.get("workflow-id")) == run.workflow_id:
                codes = [str(one.get("exitCode") or "") for one in row.get("history") or ()]
                told = [int(code) for code in codes if code.isdigit()]
                if told:
                    return told[-1] or _EXIT_TOOL_FAILED
        return _EXIT_TOOL_FAILED

    def _last_words(self, run: Run, command: str) -> str:
        lines = [line for line in read_log(self._transport, run).splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"{command} did not end well on the server."


def _entries(folder: Path) -> tuple[list[ZipEntry], dict[str, str]]:
    """Return the files of a folder for an archive, and the MD5 of each by name."""
    entries, digests = [], {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name, size, crc32 = path.relative_to(folder).as_posix(), 0, 0
        md5 = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                size, crc32 = size + len(block), zlib.crc32(block, crc32)
                md5.update(block)
        entries.append(ZipEntry(name, path, size, crc32, "A file of the build"))
        digests[name] = md5.hexdigest()
    return entries, digests


def _result(command: str, out_dir: Path, subject: str) -> StepRun:
    report_path = out_dir / "report" / "report.json"
    try:
        report = json.loads(report_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        report = {}
    if report.get("command") != command:
        return StepRun(
            _EXIT_TOOL_FAILED, f"The server's command {command} left no report of its own."
        )
    if command == "deface":
        _lift(out_dir / "defaced", subject)
        for row in report.get("accounted", ()):
            row["outputs"] = [_lifted(str(one), subject) for one in row.get("outputs", ())]
    return StepRun(0, str(report.get("summary", "")), report)


def _lift(folder: Path, subject: str) -> None:
    """Take away the folders of a session around a BIDS tree: ``deface`` keeps them."""
    for found in [one for one in folder.rglob(f"sub-{subject}") if one.is_dir()]:
        if found.parent != folder:
            shutil.copytree(found, folder / found.name, dirs_exist_ok=True)


def _lifted(output: str, subject: str) -> str:
    parts = PurePosixPath(output).parts
    place = f"sub-{subject}"
    return "/".join((parts[0], *parts[parts.index(place) :])) if place in parts else output

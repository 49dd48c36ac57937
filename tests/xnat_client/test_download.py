"""Downloads of many sessions against the sandbox, whole and cut off."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders.fault_proxy import Fault, FaultProxy, Seen
from xnat_client.download.fetching import fetch_files
from xnat_client.download.selection import Selection, Wanted, select_files
from xnat_client.errors import BadInputError, NotFoundError
from xnat_client.projects import create_project
from xnat_client.resources import RemoteFile
from xnat_client.session import connect
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings

RUN = (
    "import sys; from xnat_client.cli.download import download; "
    "sys.exit(download(standalone_mode=False))"
)
CONTENT = {
    "experiments/E1/resources/BIDS/files/dataset_description.json": b"{}\n",
    "experiments/E1/resources/BIDS/files/sub-1/anat/T1w.nii.gz": bytes(range(256)) * 900,
    "experiments/E1/scans/3/resources/NIFTI/files/a.nii.gz": b"scan three",
    "experiments/E1/scans/4/resources/NIFTI/files/a.nii.gz": b"scan four",
    "experiments/E2/resources/BIDS/files/sub-2/anat/T1w.nii.gz": b"another",
}


@pytest.fixture
def transport(sandbox: Any) -> Iterator[Transport]:
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened.transport


@pytest.fixture
def project_id(sandbox: Any, transport: Transport) -> str:
    """A project with two sessions that another client filled."""
    name = f"D{uuid.uuid4().hex[:10]}"
    create_project(transport, name)
    base = f"{sandbox.url}/data/projects/{name}/subjects/S1"

    def put(path: str, content: bytes = b"", **query: str) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        auth = (sandbox.admin_user, sandbox.admin_password)
        answer = requests.put(
            f"{base}/{path}", data=content, params=query, headers=headers, auth=auth, timeout=30
        )
        answer.raise_for_status()

    for label in ("E1", "E2"):
        put(f"experiments/{label}", xsiType="xnat:mrSessionData")
    for scan, kind in (("3", "T1w"), ("4", "bold")):
        put(f"experiments/E1/scans/{scan}", xsiType="xnat:mrScanData", type=kind)
    for path, content in CONTENT.items():
        put(path, content)
    return name


def tree(folder: Path) -> dict[str, bytes]:
    found = [one for one in folder.rglob("*") if one.is_file()]
    return {str(one.relative_to(folder)): one.read_bytes() for one in found}


ALL = {
    "E1/BIDS/dataset_description.json": b"{}\n",
    "E1/BIDS/sub-1/anat/T1w.nii.gz": bytes(range(256)) * 900,
    "E1/scans/3/NIFTI/a.nii.gz": b"scan three",
    "E1/scans/4/NIFTI/a.nii.gz": b"scan four",
    "E2/BIDS/sub-2/anat/T1w.nii.gz": b"another",
}


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), set(ALL)),
        (Selection(sessions=("e2",)), {"E2/BIDS/sub-2/anat/T1w.nii.gz"}),
        (Selection(sessions=("E*",), resources=("BIDS",)), {n for n in ALL if "BIDS" in n}),
        (Selection(scans=("T1w",)), {"E1/scans/3/NIFTI/a.nii.gz"}),
        (Selection(scans=("4",)), {"E1/scans/4/NIFTI/a.nii.gz"}),
        (Selection(scans=("none",)), {n for n in ALL if "BIDS" in n}),
    ],
)
def test_selection(
    transport: Transport, project_id: str, selection: Selection, names: set[str]
) -> None:
    """Sessions, scans by ID or type, and resources choose exactly the files that are theirs."""
    wanted = select_files(transport, project_id, selection)

    assert {one.path for one in wanted} == names


def test_selection_of_nothing(transport: Transport, project_id: str) -> None:
    """A label that is nowhere is an error, not an empty success."""
    with pytest.raises(NotFoundError, match="no session E9"):
        select_files(transport, project_id, Selection(sessions=("E9",)))
    with pytest.raises(NotFoundError, match="Nothing in project"):
        select_files(transport, project_id, Selection(resources=("NONE",)))


def test_command_brings_all_and_repairs(sandbox: Any, project_id: str, tmp_path: Path) -> None:
    """All arrives byte for byte; a second run fetches only what was changed on the disk."""
    out = tmp_path / "out"

    def run() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(out), "--project",
             project_id, "--server", sandbox.url, "--json"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "XNAT_USER": "admin", "XNAT_PASS": sandbox.admin_password},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    first = run()
    (out / "E1" / "scans" / "3" / "NIFTI" / "a.nii.gz").write_bytes(b"scan thrEE")
    second = run()

    assert tree(out) == ALL
    assert (first["fetched"], first["already_there"], first["missing"]) == (5, 0, 0)
    assert (second["fetched"], second["already_there"]) == (1, 4)


def test_downloads_survive_a_bad_network(sandbox: Any, project_id: str, tmp_path: Path) -> None:
    """503, lost answers and a log-in that ends in the middle cost time, not files."""
    faults = iter(
        [Fault.BUSY, Fault.LOST_ANSWER, Fault.EXPIRED, *[Fault.BUSY, Fault.LOST_ANSWER] * 2]
    )

    def choose(seen: Seen) -> Fault | None:
        return next(faults, None) if "/files/" in seen.path else None

    proxy = FaultProxy(sandbox.url, choose)
    try:
        patient = TransportSettings(max_attempts=9, first_pause_s=0.01)
        account = (sandbox.admin_user, sandbox.admin_password)
        with connect(proxy.url, *account, settings=patient) as opened:
            wanted = select_files(opened.transport, project_id, Selection())
            receipt = fetch_files(opened.transport, wanted, tmp_path, connections=2)
    finally:
        proxy.close()

    assert receipt.failed == ()
    assert (receipt.fetched, receipt.missing, receipt.exit_code) == (5, 0, 0)
    assert tree(tmp_path) == ALL


def test_wrong_digests_leave_no_file(sandbox: Any, project_id: str, tmp_path: Path) -> None:
    """Bytes that are not what the list says are thrown away, and the code is 5."""
    proxy = FaultProxy(
        sandbox.url, lambda seen: Fault.WRONG_DIGEST if "/files?" in seen.path else None
    )
    try:
        with connect(proxy.url, sandbox.admin_user, sandbox.admin_password) as opened:
            wanted = select_files(opened.transport, project_id, Selection())
            receipt = fetch_files(opened.transport, wanted, tmp_path)
    finally:
        proxy.close()

    assert (receipt.fetched, receipt.missing, receipt.exit_code) == (0, 5, 5)
    assert tree(tmp_path) == {}


BODY = bytes(range(256)) * 4096


class RangeServer(BaseHTTPRequestHandler):
    """Serves one file with ranges, and breaks the connection after a third of it, once."""

    protocol_version = "HTTP/1.1"
    asked: list[str | None]

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def do_PUT(self) -> None:
        """Log in."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.respond(200, b"0123456789ABCDEF", {})

    def do_DELETE(self) -> None:
        """Log out."""
        self.respond(200, b"", {})

    def do_GET(self) -> None:
        """Give the file."""
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if wanted is None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[: len(BODY) // 3])
            self.close_connection = True
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(BODY):
            self.respond(416, b"", {"Content-Range": f"bytes */{len(BODY)}"})
            return
        rest = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        self.respond(206, BODY[start:], {"Content-Range": rest})

    def respond(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


Ranges = tuple[str, list[str | None]]


@pytest.fixture
def ranges() -> Iterator[Ranges]:
    asked: list[str | None] = []
    handler = type("Handler", (RangeServer,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


Fetch = Callable[..., None]


@pytest.mark.parametrize("held", [b"", BODY[:1000], BODY, b"x" * 1000, b"x" * len(BODY)])
def test_cut_off_files_go_on(ranges: Ranges, tmp_path: Path, held: bytes) -> None:
    """A part on the disk is continued; one of another file is noticed and fetched anew."""
    url, asked = ranges
    if held:
        (tmp_path / ".big.bin.winxnat-part").write_bytes(held)
    md5 = hashlib.md5(BODY).hexdigest()  # noqa: S324  # XNAT's digest
    wanted = Wanted("big.bin", RemoteFile("big.bin", "/data/f", len(BODY), md5, "R"), "E1")

    with connect(url, "reader", "secret") as opened:
        receipt = fetch_files(opened.transport, [wanted], tmp_path)

    assert (receipt.fetched, receipt.exit_code) == (1, 0)
    assert tree(tmp_path) == {"big.bin": BODY}
    # Whatever stood there first, no byte that was right is asked for twice.
    assert f"bytes={len(held) or len(BODY) // 3}-" in asked


def test_links_do_not_lead_out(transport: Transport, project_id: str, tmp_path: Path) -> None:
    """A link in the output folder that leads elsewhere stops the file, and nothing is written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "E2").symlink_to(outside)
    wanted = select_files(transport, project_id, Selection(sessions=("E2",)))

    receipt = fetch_files(transport, wanted, tmp_path / "out")

    assert receipt.exit_code == BadInputError.exit_code
    assert tree(outside) == {}

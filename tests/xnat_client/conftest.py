"""A server that misbehaves on request, and small DICOM series made by code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from xnat_client.credentials import Credentials
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings

PASSWORD = "correct horse battery"
SESSION_ID = "0123456789ABCDEF"


@dataclass(frozen=True)
class Reply:
    """An answer to give; ``broken`` closes the connection after half of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False

    @classmethod
    def table(cls, *rows: Mapping[str, str]) -> Reply:
        """Return XNAT's envelope around rows."""
        return cls(body=json.dumps({"ResultSet": {"Result": list(rows)}}).encode())

    @classmethod
    def json(cls, document: object) -> Reply:
        """Return a JSON document."""
        return cls(body=json.dumps(document).encode())


@dataclass(frozen=True)
class Received:
    """A request as the server saw it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer:
    """A loopback HTTP server that follows a script.

    ``replies[(method, path)]`` is a list of replies; the last one is repeated. Log-in and log-out
    work by themselves unless they are scripted.
    """

    def __init__(self) -> None:
        self.replies: dict[tuple[str, str], list[Reply]] = {}
        self.received: list[Received] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, *replies: Reply) -> None:
        """Set the replies of a path."""
        self.replies[method, path] = list(replies)

    def requests_to(self, path: str) -> list[Received]:
        """Return what came in for a path, in order."""
        return [one for one in self.received if one.path == path]

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reply_for(self, request: Received) -> Reply:
        """Take the next reply of the script."""
        with self._lock:
            self.received.append(request)
            script = self.replies.get((request.method, request.path))
            if script:
                return script.pop(0) if len(script) > 1 else script[0]
        if request.path == "/data/services/auth":
            form = parse_qs(request.body.decode())
            if form.get("password") == [PASSWORD]:
                return Reply(body=SESSION_ID.encode())
            return Reply(401, b"Authentication failed.")
        if request.path == "/data/JSESSION":
            return Reply(body=SESSION_ID.encode())
        return Reply(404, b"not in the script")

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                parts = urlsplit(self.path)
                request = Received(
                    self.command,
                    unquote(parts.path),
                    parse_qs(parts.query),
                    dict(self.headers.items()),
                    self.rfile.read(length),
                )
                reply = script.reply_for(request)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                half = len(reply.body) // 2 if reply.broken else len(reply.body)
                self.wfile.write(reply.body[:half])
                self.close_connection = self.close_connection or reply.broken

            do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  # names of the library

        return Handler


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


QUICK = TransportSettings(
    connect_timeout_s=5, read_timeout_s=20, max_attempts=4, first_pause_s=0.001
)


@pytest.fixture
def quick_settings() -> TransportSettings:
    return QUICK


@pytest.fixture
def transport(scripted: ScriptedServer) -> Iterator[Transport]:
    opened = Transport(scripted.url, Credentials("reader", PASSWORD), QUICK)
    yield opened
    opened.close()


WriteDicom = Callable[..., Path]


def write_dicom_file(  # noqa: PLR0913  # each is one thing a test varies
    path: Path,
    *,
    instance: int = 1,
    series: int = 3,
    study: int = 1,
    patient_id: str = "MARKED-ID",
    patient_name: str = "Marked^Person",
    rows: int = 16,
    preamble: bool = True,
) -> Path:
    """Write a small MR image; the pixel values differ from instance to instance."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{study}.{series}.{instance}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = Dataset()
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = f"1.2.826.0.1.{study}"
    image.SeriesInstanceUID = f"1.2.826.0.1.{study}.{series}"
    image.PatientID, image.PatientName = patient_id, patient_name
    image.StudyDate, image.Modality = "20260131", "MR"
    image.SeriesNumber, image.InstanceNumber = series, instance
    image.SeriesDescription = "T1w"
    image.Rows = image.Columns = rows
    image.SamplesPerPixel, image.BitsAllocated, image.BitsStored, image.HighBit = 1, 16, 12, 11
    image.PixelRepresentation, image.PhotometricInterpretation = 0, "MONOCHROME2"
    image.PixelData = bytes([instance % 250, series % 250]) * (rows * rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if preamble:
        image.file_meta = meta
        image.save_as(path, enforce_file_format=True)
    else:
        pydicom.dcmwrite(
            path, image, implicit_vr=True, little_endian=True, enforce_file_format=False
        )
    return path


@pytest.fixture
def write_dicom() -> WriteDicom:
    return write_dicom_file


@pytest.fixture
def dicom_folder(tmp_path: Path) -> Path:
    """A study of two scans with five images, in folders whose names hold a person's name."""
    folder = tmp_path / "Marked_Person_19700131"
    for series, images in ((3, 2), (4, 3)):
        for instance in range(1, images + 1):
            name = f"scan of Marked Person/{series}/IM{instance:04d}"
            write_dicom_file(folder / name, series=series, instance=instance)
    return folder

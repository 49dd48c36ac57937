"""What the client's upload costs beside curl sending the same bytes, and what troubles cost it.

Run: ``.venv/bin/python tests/benchmarks/bench_upload.py [--quick] [--kills N]``

``small``, ``large``: 2,000 files of 100 KB at 5 ms latency, and 20 of 50 MB, to a loopback server
that keeps nothing but the sizes and MD5s that it lists afterwards. Compared are ``curl -Z`` with
the same number of connections, which neither looks at the files before nor proves them after.
``send`` is sending and proving, ``whole`` the command with start and scan. ``faults``: one answer
in 50 is a 503. ``kill``: kill -9 after half of the bytes, then the same command: bytes sent again.
``scan``: 10,000 DICOM files beside pydicom reading their headers, on the clock and in processor
time. Ratios only within one run.
Needs curl, and GNU time for the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pydicom
import urllib3
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

CONNECTIONS = 8
# A server that answers as XNAT does where an upload of resources asks it, and keeps no content.
SINK = textwrap.dedent("""
    import asyncio, hashlib, io, json, sys, zipfile
    from urllib.parse import parse_qs, unquote, urlsplit

    LATENCY_S, EVERY = float(sys.argv[1]), int(sys.argv[2])
    held, count, taken = {}, 0, 0

    def table(rows):
        return json.dumps({"ResultSet": {"Result": rows}}).encode()

    async def read_body(reader, path, query, length):
        global taken
        # The archive is kept until it is unpacked; of all else only the digest.
        whole = bytearray() if "extract" in query else None
        digest, left = hashlib.md5(), length
        while left:
            data = await reader.read(min(left, 1 << 20))
            if not data:
                return False
            left -= len(data)
            taken += len(data)
            if whole is None:
                digest.update(data)
            elif whole is not None:
                whole += data
        resource, _, name = path.partition("/files/")
        if not name:
            return True
        files = held.setdefault(resource, {})
        if whole is None:
            files[name] = (length, digest.hexdigest())
        else:
            with zipfile.ZipFile(io.BytesIO(whole)) as archive:
                for info in archive.infolist():
                    content = archive.read(info)
                    files[info.filename] = (len(content), hashlib.md5(content).hexdigest())
        return True

    def answer(method, path, query):
        if path == "/data/services/auth":
            return 200, b"0123456789ABCDEF"
        if path == "/taken":
            return 200, str(taken).encode()
        if path.endswith("/accessibility"):
            return 200, b"private"
        if path == "/xapi/access/projects":
            return 200, b"[]"
        if path.endswith("/files") and method == "GET":
            files = held.get(path.removesuffix("/files"))
            if files is None:
                return 404, b""
            return 200, table([
                {"Name": n, "Size": str(s), "URI": path + "/" + n, "digest": d, "collection": "R"}
                for n, (s, d) in files.items()
            ])
        if method == "GET":
            if path.endswith("/experiments") and made:
                return 200, table([{"ID": "E1", "label": "E1", "subject_label": "S1"}])
            return 200, table([])
        if method == "PUT" and "xsiType" in query:
            made.append(1)
            return 201, b"E1"
        return 200, b""

    made = []

    async def serve(reader, writer):
        global count
        try:
            while True:
                head = await reader.readuntil(b"\\r\\n\\r\\n")
                first, *lines = head.decode("latin-1").split("\\r\\n")
                method, target, _ = first.split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                if headers.get("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
                parts = urlsplit(target)
                path, query = unquote(parts.path), parse_qs(parts.query)
                length = int(headers.get("content-length", 0))
                count += 1
                busy = EVERY and length > 1000 and count % EVERY == 0
                if not await read_body(reader, "" if busy else path, {} if busy else query, length):
                    return
                if LATENCY_S:
                    await asyncio.sleep(LATENCY_S)
                status, body = (503, b"") if busy else answer(method, path, query)
                text = f"HTTP/1.1 {status} X\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
                writer.write(text.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())
""")


class Sink:
    """The server as a process."""

    def __init__(self, latency_s: float = 0.0, busy_every: int = 0) -> None:
        arguments = [sys.executable, "-c", SINK, str(latency_s), str(busy_every)]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def taken(self) -> int:
        """Return the bytes of bodies that came in."""
        return int(urllib3.request("GET", f"{self.url}/taken").data)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def write_files(folder: Path, count: int, size_bytes: int) -> Path:
    """Write files of seeded random bytes."""
    source = random.Random(3)  # noqa: S311  # test data
    folder.mkdir()
    for number in range(count):
        (folder / f"file_{number:05d}.h5").write_bytes(source.randbytes(size_bytes))
    return folder


def curl(folder: Path, url: str, config: Path) -> float:
    """Send the files with curl; return the seconds."""
    lines = [
        f'upload-file = "{path}"\nurl = "{url}/data/curl/files/{path.name}"\noutput = "/dev/null"\n'
        for path in sorted(folder.iterdir())
    ]
    config.write_text("next\n".join(lines))
    command = ["curl", "-sS", "-Z", "--parallel-max", str(CONNECTIONS), "-K", str(config)]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def client(folder: Path, url: str, state: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment of an upload."""
    command = [
        *(sys.executable, "-c", "from xnat_client.cli.main import main; main()", "upload"),
        *(str(folder), "--project", "P", "--subject", "S1", "--session", "E1", "--json"),
        *("--session-type", "xnat:mrSessionData", "--state", str(state), "--server", url),
        *("--connections", str(CONNECTIONS)),
    ]
    return command, {**os.environ, "XNAT_USER": "u", "XNAT_PASS": "p"}


def run_client(folder: Path, url: str, state: Path) -> dict[str, float]:
    """Run the upload; return its times in seconds and its peak memory in MB."""
    command, own = client(folder, url, state)
    timed = ["/usr/bin/env", "time", "-f", "%M", *command] if shutil.which("time") else command
    began = time.perf_counter()
    done = subprocess.run(timed, env=own, capture_output=True, text=True, check=False)
    whole_s = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"The upload ended with {done.returncode}: {done.stdout[-800:]}")
    receipt = json.loads(done.stdout.splitlines()[-1])
    peak = done.stderr.strip().splitlines()
    return {
        "whole_s": whole_s,
        "send_s": receipt["seconds"],
        "files": receipt["files_confirmed"],
        "peak_mb": int(peak[-1]) / 1000 if peak and peak[-1].isdigit() else 0.0,
    }


def compare(folder: Path, work: Path, latency_s: float, busy_every: int = 0) -> dict[str, float]:
    """Return the times of curl and of the client for the same files, best of two."""
    curl_s, ours = [], []
    for turn in range(2):
        sink = Sink(latency_s)
        curl_s.append(curl(folder, sink.url, work / "curl.txt"))
        sink.stop()
        sink = Sink(latency_s, busy_every)
        ours.append(run_client(folder, sink.url, work / f"{folder.name}-{busy_every}-{turn}.db"))
        sink.stop()
    best = min(ours, key=lambda one: one["send_s"])
    return {
        "curl_s": round(min(curl_s), 2),
        "send_s": best["send_s"],
        "whole_s": round(best["whole_s"], 2),
        "ratio_send": round(best["send_s"] / min(curl_s), 2),
        "ratio_whole": round(best["whole_s"] / min(curl_s), 2),
        "files": best["files"],
        "peak_mb": best["peak_mb"],
    }


def kill(folder: Path, work: Path, rounds: int) -> dict[str, object]:
    """Return how much is sent again after kill -9 at half of the bytes, in hundredths of all."""
    total = sum(path.stat().st_size for path in folder.iterdir())
    again, at = [], []
    for number in range(rounds):
        sink = Sink(0.005)
        command, own = client(folder, sink.url, work / f"kill-{number}.db")
        with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL) as process:
            while sink.taken() < total / 2:
                time.sleep(0.01)
            process.kill()
        at.append(100 * sink.taken() / total)
        run_client(folder, sink.url, work / f"kill-{number}.db")
        again.append(100 * (sink.taken() - total) / total)
        sink.stop()
    return {
        "rounds": rounds,
        "killed_at_percent": [round(one) for one in at],
        "mean_percent": round(sum(again) / rounds, 2),
        "most_percent": round(max(again), 2),
    }


def write_dicom(folder: Path, count: int) -> Path:
    """Write small MR images with headers of a usual length."""
    folder.mkdir()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = Dataset()
    image.SOPClassUID = MRImageStorage
    image.StudyInstanceUID, image.Modality = "1.2.826.0.1.7", "MR"
    image.PatientID, image.PatientName = "X1", "X^Y"
    image.Rows = image.Columns = 64
    image.SamplesPerPixel, image.BitsAllocated, image.BitsStored, image.HighBit = 1, 16, 12, 11
    image.PixelRepresentation, image.PhotometricInterpretation = 0, "MONOCHROME2"
    image.PixelData = bytes(64 * 64 * 2)
    for number in range(40):
        image.private_block(0x0029, "BENCH", create=True).add_new(number, "LO", "value " * 5)
    for number in range(count):
        series = number // 200 + 1
        image.SeriesInstanceUID, image.SeriesNumber = f"1.2.826.0.1.7.{series}", series
        image.SOPInstanceUID = f"1.2.826.0.1.7.{series}.{number}"
        meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.file_meta = meta
        image.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return folder


def scan(folder: Path) -> dict[str, float]:
    """Return the time of scan and plan beside that of reading the headers, best of three."""
    from xnat_client.upload.label_rules import Rules  # noqa: PLC0415  # not for the other parts
    from xnat_client.upload.plan import make_plan  # noqa: PLC0415  # see above
    from xnat_client.upload.plan_checks import check_plan  # noqa: PLC0415  # see above
    from xnat_client.upload.survey import survey  # noqa: PLC0415  # see above

    headers_s, plan_s, headers_cpu_s, plan_cpu_s = [], [], [], []
    for _ in range(3):
        began, began_cpu = time.perf_counter(), time.process_time()
        for path in folder.iterdir():
            pydicom.dcmread(path, stop_before_pixels=True)
        headers_s.append(time.perf_counter() - began)
        headers_cpu_s.append(time.process_time() - began_cpu)
        began, began_cpu = time.perf_counter(), time.process_time()
        check_plan(make_plan(survey([folder]), "P", Rules(subject="S1", session="E1")))
        plan_s.append(time.perf_counter() - began)
        plan_cpu_s.append(time.process_time() - began_cpu)
    return {
        "headers_s": round(min(headers_s), 2),
        "scan_and_plan_s": round(min(plan_s), 2),
        "ratio": round(min(plan_s) / min(headers_s), 2),
        "ratio_processor": round(min(plan_cpu_s) / min(headers_cpu_s), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of the files")
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    part = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        small = write_files(work / "small", 2000 // part, 100_000)
        print("small ", json.dumps(compare(small, work, 0.005)), flush=True)
        print("faults", json.dumps(compare(small, work, 0.005, busy_every=50)), flush=True)
        if options.kills:
            print("kill  ", json.dumps(kill(small, work, options.kills)), flush=True)
        shutil.rmtree(small)
        large = write_files(work / "large", max(2, 20 // part), 50_000_000)
        print("large ", json.dumps(compare(large, work, 0.0)), flush=True)
        shutil.rmtree(large)
        print("scan  ", json.dumps(scan(write_dicom(work / "dicom", 10_000 // part))), flush=True)


if __name__ == "__main__":
    main()

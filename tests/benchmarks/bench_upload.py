"""What the client's upload costs on top of curl sending the same bytes to the same server.

Run: ``.venv/bin/python tests/benchmarks/bench_upload.py``

Both send one made session to a sandbox as one archive; the client also reads every header before,
and compares every file by MD5 after. Best of three, ratios only within one run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

from deploy import sandbox_process
from deploy.demo_session import write_demo_session
from xnat_client.projects import create_project
from xnat_client.session import connect
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

ROUNDS = 3


def _curl(url: str, netrc: Path, archive: Path, label: str) -> float:
    destination = f"/archive/projects/BENCH/subjects/S/experiments/{label}"
    began = time.perf_counter()
    subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail", "--netrc-file", str(netrc)),
            *("--header", "Content-Type: application/zip", "--data-binary", f"@{archive}"),
            f"{url}/data/services/import?dest={destination}",
        ],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = write_demo_session(folder / "dicom")
        archive = folder / "session.zip"
        with zipfile.ZipFile(archive, "w") as stored:
            for path in session.files:
                stored.write(path, path.relative_to(session.folder))
        server = sandbox_process.start(folder / "sandbox", engine="process")
        try:
            curl_s, scan_s, client_s = [], [], []
            with connect(
                server.url, "admin", sandbox_process.admin_password(server.root)
            ) as opened:
                create_project(opened.transport, "BENCH")
                for number in range(ROUNDS):
                    curl_s.append(_curl(server.url, server.netrc_path, archive, f"C{number}"))
                    began = time.perf_counter()
                    study = choose_study(scan_folder(session.folder))
                    scan_s.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    target = UploadTarget("BENCH", "S", f"U{number}")
                    upload_session(opened.transport, study, target)
                    client_s.append(time.perf_counter() - began)
        finally:
            sandbox_process.stop(server.root)
    best = {"curl_s": min(curl_s), "scan_s": min(scan_s), "send_and_verify_s": min(client_s)}
    print(
        json.dumps(
            {
                "files": len(session.files),
                **{key: round(value, 3) for key, value in best.items()},
                "ratio": round(best["send_and_verify_s"] / best["curl_s"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()

"""Files going in and out: small ones against a server that only discards them, and a large one.

Run: ``.venv/bin/python tests/benchmarks/bench_files.py [--gigabytes N]``

Small files (100 KB) are sent by eight connections, once to the sandbox and once to the same HTTP
stack (uvicorn, Starlette, one worker) whose only handler reads the body and forgets it; the ratio
of their rates is printed, the best of several turns each. The large file is sent and fetched once;
printed is the most memory that the server ever had. Needs curl.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from deploy import sandbox_process

SMALL_BYTES = 100_000
SMALL_COUNT = 400
CONNECTIONS = 8
TURNS = 5
SINK = textwrap.dedent("""
    import sys
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def discard(request):
        async for _ in request.stream():
            pass
        return Response()

    app = Starlette(routes=[Route("/{rest:path}", discard, methods=["PUT"])])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", access_log=False)
""")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rate(url: str, headers: dict[str, str], turn: int) -> float:
    """Send the small files; return how many a second."""
    content = os.urandom(SMALL_BYTES)
    with urllib3.PoolManager(maxsize=CONNECTIONS, headers=headers) as pool:

        def send(number: int) -> int:
            answer = pool.request("PUT", f"{url}/{turn}-{number}.bin", body=content)
            return answer.status

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            started = time.perf_counter()
            statuses = set(threads.map(send, range(SMALL_COUNT)))
            took = time.perf_counter() - started
    if statuses != {200}:
        raise SystemExit(f"{url} answered {statuses}.")
    return SMALL_COUNT / took


def peak_mib(pid: int) -> float:
    """Return the most memory that a process had, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("This system does not tell the memory of a process.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=int, default=1, help="size of the large file")
    gigabytes = parser.parse_args().gigabytes
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "sandbox"
        server = sandbox_process.start(root, engine="process")
        port = _free_port()
        sink = subprocess.Popen([sys.executable, "-c", SINK, str(port)])
        try:
            _measure(server, sandbox_process.admin_password(root), port, gigabytes)
        finally:
            sink.terminate()
            sandbox_process.stop(root)


def _measure(
    server: sandbox_process.RunningSandbox, password: str, port: int, gigabytes: int
) -> None:
    headers = urllib3.make_headers(basic_auth=f"admin:{password}")
    with urllib3.PoolManager(headers=headers) as pool:
        pool.request("PUT", f"{server.url}/data/projects/P?name=P")
        session = pool.request("POST", f"{server.url}/data/JSESSION").data.decode()
    cookie = {"Cookie": f"JSESSIONID={session}"}
    base = f"{server.url}/data/projects/P/resources"
    pairs = [
        (rate(f"{base}/R{turn}/files", cookie, turn), rate(f"http://127.0.0.1:{port}/x", {}, turn))
        for turn in range(TURNS)
    ]
    ours, theirs = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    ratios = [a / b for a, b in pairs]
    print(f"{SMALL_COUNT} files of {SMALL_BYTES} bytes, {CONNECTIONS} connections, {TURNS} turns")
    print(f"  sandbox {ours:.0f}/s, discarding {theirs:.0f}/s, best of each: {ours / theirs:.2f}")
    print(f"  ratio turn by turn: median {statistics.median(ratios):.2f}")
    before = peak_mib(server.pid)
    large = f"{base}/BIG/files/large.bin"
    send = (
        f"head -c {gigabytes}G /dev/zero"
        f" | curl -sfS --netrc-file '{server.netrc_path}' -T - '{large}'"
    )
    started = time.perf_counter()
    subprocess.run(["sh", "-c", send], check=True, stdout=subprocess.DEVNULL)
    sent = time.perf_counter()
    fetch = ["curl", "-sfS", "--netrc-file", str(server.netrc_path), "-o", os.devnull, large]
    subprocess.run(fetch, check=True)
    fetched = time.perf_counter()
    print(f"one file of {gigabytes} GiB")
    print(f"  sent in {sent - started:.1f} s, fetched in {fetched - sent:.1f} s")
    print(f"  the server's most memory: {before:.0f} MiB before, {peak_mib(server.pid):.0f} after")


if __name__ == "__main__":
    main()

"""Files going in and out: small ones against a server that only discards them, and a large one.

Run: ``.venv/bin/python tests/benchmarks/bench_files.py [--gigabytes N] [--bytes N] [--files N]
[--turns N] [--priority N] [--lean] [--deleted N]``

Small files are sent by eight connections, in turns to the sandbox and to the same HTTP stack
(uvicorn, Starlette, one worker) whose only handler reads the body and forgets it; the ratio of
their rates is printed, and the processor time for a file: of each server, of the client, and of
what no server that stores files can leave out (a digest, a file made, written and renamed). A rate
near 1000 / the client's milliseconds is the client's own limit; urllib3, which the Python clients
of XNAT use, is one for the server that discards. With ``--lean`` the requests are ready-made bytes,
and the servers the limit of both rates. With ``--deleted`` so many files are sent and deleted
before, which makes new ones slow on ext4 (see ``deploy/sandbox/inode_groups.py``). The large file
is sent and fetched once; printed is the most memory that the server ever had. Needs curl, and room
for the large file where temporary files are.

On a busy machine let all three have their processors: Linux shares them out among login sessions
first (sched(7), autogroup), so that ``nice`` alone does nothing for the servers, each of which has
a session of its own. With ``--priority -15`` (as root) they and the client get that much of both.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from deploy import sandbox_process
from deploy.sandbox.inode_groups import spread_folders_below

CONNECTIONS = 8
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


@dataclass(frozen=True)
class Turn:
    """Files a second, and milliseconds of processor time that server and client took for each."""

    rate: float
    processor_ms: float
    client_ms: float


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send_all(url: str, headers: dict[str, str], pid: int, options: argparse.Namespace) -> Turn:
    """Send the small files to a server."""
    content = os.urandom(options.bytes)
    shares = [range(each, options.files, CONNECTIONS) for each in range(CONNECTIONS)]
    with urllib3.PoolManager(maxsize=CONNECTIONS, headers=headers) as pool:

        def send(numbers: range) -> set[int]:
            if options.lean:
                return send_lean(url, headers, content, numbers)
            return {pool.request("PUT", f"{url}/{n}.bin", body=content).status for n in numbers}

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            before, started = processor_s(pid), time.perf_counter()
            own = time.process_time()
            statuses = set[int]().union(*threads.map(send, shares))
            took, worked = time.perf_counter() - started, processor_s(pid) - before
            own = time.process_time() - own
    if statuses != {HTTPStatus.OK}:
        raise SystemExit(f"{url} answered {statuses}.")
    per_file = 1000 / options.files
    return Turn(options.files / took, worked * per_file, own * per_file)


def send_lean(url: str, headers: dict[str, str], content: bytes, numbers: range) -> set[int]:
    """Send files over one connection with as little work as Python allows; return the statuses."""
    address = urlsplit(url)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    more = "\r\n".join(["Host: benchmark", f"Content-Length: {len(content)}", *lines, "", ""])
    statuses = set()
    with socket.create_connection((address.hostname or "", address.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in numbers:
            start = f"PUT {address.path}/{number}.bin HTTP/1.1\r\n"
            connection.sendall((start + more).encode())
            connection.sendall(content)
            answer = b""
            while b"\r\n\r\n" not in answer:  # the answers have no body
                piece = connection.recv(65536)
                if not piece:
                    raise SystemExit(f"{url} ended a connection.")
                answer += piece
            statuses.add(int(answer.split(b" ", 2)[1]))
    return statuses


def least_ms(size: int, folder: Path) -> tuple[float, float]:
    """Return the processor time that a digest takes, and a file made, written and renamed.

    The latter is the best of some folders, which ext4 puts where making files costs more or less.
    """
    content, count, times = os.urandom(size), 50, []
    folder.mkdir()
    spread_folders_below(folder)
    for place in (folder / f"{number}" for number in range(5)):
        place.mkdir()
        started = time.process_time()
        for number in range(count):
            path = place / f"{number}.new"
            path.write_bytes(content)
            path.rename(place / f"{number}")
        times.append(time.process_time() - started)
    started = time.process_time()
    for _ in range(count):
        hashlib.md5(content, usedforsecurity=False).hexdigest()
    return (time.process_time() - started) * 1000 / count, min(times) * 1000 / count


def set_priority(pid: int, priority: int) -> None:
    """Give a process, and the session that it is in, a priority."""
    os.setpriority(os.PRIO_PROCESS, pid, priority)
    Path(f"/proc/{pid}/autogroup").write_text(str(priority))


def peak_mib(pid: int) -> float:
    """Return the most memory that a process had, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("This system does not tell the memory of a process.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=int, default=1, help="size of the large file; 0: none")
    parser.add_argument("--bytes", type=int, default=100_000, help="size of a small file")
    parser.add_argument("--files", type=int, default=400, help="small files of one turn")
    parser.add_argument("--priority", type=int, help="-20 to 19, of servers and client")
    parser.add_argument("--lean", action="store_true", help="a client that costs very little")
    parser.add_argument("--deleted", type=int, default=0, help="files sent and deleted before")
    parser.add_argument("--turns", type=int, default=5, help="many short ones on a busy machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "sandbox"
        if options.priority is not None:
            set_priority(os.getpid(), options.priority)
        server = sandbox_process.start(root, engine="process")
        port = _free_port()
        # In a session of its own, as the sandbox is.
        sink = subprocess.Popen([sys.executable, "-c", SINK, str(port)], start_new_session=True)
        if options.priority is not None:
            for pid in (server.pid, sink.pid):
                set_priority(pid, options.priority)
        try:
            with urllib3.PoolManager() as pool:
                pool.request(
                    "PUT",
                    f"http://127.0.0.1:{port}/",
                    retries=urllib3.Retry(20, backoff_factor=0.1),
                )
            headers = _logged_in(server, sandbox_process.admin_password(root))
            _small(server, headers, (f"http://127.0.0.1:{port}", sink.pid), options)
            digest, file = least_ms(options.bytes, Path(folder) / "least")
            print(f"  the digest alone {digest:.2f} ms, the file alone {file:.2f} ms")
            if options.gigabytes:
                _large(server, options.gigabytes)
        finally:
            sink.terminate()
            sandbox_process.stop(root)


def _logged_in(server: sandbox_process.RunningSandbox, password: str) -> dict[str, str]:
    """Make the project; return the headers of a session."""
    headers = urllib3.make_headers(basic_auth=f"admin:{password}")
    with urllib3.PoolManager(headers=headers) as pool:
        pool.request("PUT", f"{server.url}/data/projects/P?name=P")
        session = pool.request("POST", f"{server.url}/data/JSESSION").data.decode()
    return {"Cookie": f"JSESSIONID={session}"}


def _small(
    server: sandbox_process.RunningSandbox,
    headers: dict[str, str],
    sink: tuple[str, int],
    options: argparse.Namespace,
) -> None:
    if options.deleted:
        _send_and_delete(server, headers, options)
    ours, theirs = [], []
    for turn in range(options.turns):
        url = f"{server.url}/data/projects/P/resources/R{turn}/files"
        ours.append(send_all(url, headers, server.pid, options))
        theirs.append(send_all(sink[0], {}, sink[1], options))
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    best = max(turn.rate for turn in ours), max(turn.rate for turn in theirs)
    times = [statistics.median(turn.processor_ms for turn in turns) for turns in (ours, theirs)]
    print(f"{options.files} files of {options.bytes} bytes, {CONNECTIONS} connections", end="")
    print(f", {options.turns} turns")
    print(f"  best rates: sandbox {best[0]:.0f}/s, discarding {best[1]:.0f}/s", end="")
    print(f", ratio {best[0] / best[1]:.2f}")
    print(f"  ratio turn by turn: median {statistics.median(ratios):.2f}, best {max(ratios):.2f}")
    client = statistics.median(turn.client_ms for turn in theirs)
    print(f"  processor time a file: sandbox {times[0]:.2f} ms", end="")
    print(f", discarding {times[1]:.2f} ms, client {client:.2f} ms")


def _send_and_delete(
    server: sandbox_process.RunningSandbox, headers: dict[str, str], options: argparse.Namespace
) -> None:
    resource = f"{server.url}/data/projects/P/resources/GONE"
    more = argparse.Namespace(**{**vars(options), "files": options.deleted})
    turn = send_all(f"{resource}/files", headers, server.pid, more)
    with urllib3.PoolManager(headers=headers) as pool:
        status = pool.request("DELETE", f"{resource}?removeFiles=true").status
    if status != HTTPStatus.OK:
        raise SystemExit(f"Deleting was answered with {status}.")
    print(f"{options.deleted} files sent, {turn.processor_ms:.2f} ms each, and deleted; then")


def _large(server: sandbox_process.RunningSandbox, gigabytes: int) -> None:
    base = f"{server.url}/data/projects/P/resources"
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

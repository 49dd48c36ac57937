"""The sandbox as a program: ``python -m deploy.sandbox --dir DIR [--port N] [--engine NAME]``.

It writes ``server.json`` (address, process number) below its folder once it answers, and removes
it when it stops. The administrator's password comes in the environment, never as an argument.
Not here: starting it in the background (``deploy.sandbox_cli``).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import sys
from pathlib import Path

import uvicorn

from containers.engine import EngineUnavailableError
from deploy.sandbox.app import create_app
from deploy.sandbox.settings import DEFAULT_HOST, DEFAULT_PORT, Settings
from deploy.sandbox.site import Site
from deploy.sandbox.store import StoreVersionError

PASSWORD_VARIABLE = "WINXNAT_SANDBOX_PASSWORD"  # noqa: S105 - the variable's name
SERVER_FILE_NAME = "server.json"
LOCK_FILE_NAME = "server.lock"


class _Server(uvicorn.Server):
    """Uvicorn that announces itself when it listens."""

    def __init__(self, config: uvicorn.Config, announcement: Path, facts: dict[str, str]) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._facts = facts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            return
        partial = self._announcement.with_suffix(".partial")
        partial.write_text(json.dumps({**self._facts, "pid": os.getpid()}))
        partial.replace(self._announcement)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before uvicorn raises the signal again, which ends the process without clean-up code.
        self._announcement.unlink(missing_ok=True)
        await super().shutdown(sockets)


def _settings(arguments: list[str]) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m deploy.sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--engine", choices=("auto", "docker", "process"), default="auto")
    parser.add_argument("--processing-url")
    options = parser.parse_args(arguments)
    return Settings(
        root=options.dir.resolve(),
        host=options.host,
        port=options.port,
        engine=options.engine,
        processing_url=options.processing_url,
    )


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit code (2: the sandbox cannot start, said on stderr)."""
    settings = _settings(sys.argv[1:] if arguments is None else arguments)
    password = os.environ.pop(PASSWORD_VARIABLE, None)
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror
        print(f"Cannot listen on {where}: {reason}. Choose another --port.", file=sys.stderr)  # noqa: T201 - a program's last word
        return 2
    try:
        settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held until the process ends, however it ends: one server to a folder.
        lock = (settings.root / LOCK_FILE_NAME).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        site = Site(settings)
    except BlockingIOError:
        print("Another sandbox runs on this folder. Choose another --dir.", file=sys.stderr)  # noqa: T201 - same
        return 2
    except (OSError, StoreVersionError) as error:
        print(f"Cannot open the sandbox's folder: {error}", file=sys.stderr)  # noqa: T201 - same
        return 2
    if password is not None:
        site.ensure_admin("admin", password)
    port = listener.getsockname()[1]
    site.url = f"http://{settings.host}:{port}"
    announcement = settings.root / SERVER_FILE_NAME
    try:
        app = create_app(site)
        if settings.engine == "docker":
            site.runner.engines.base.ping()
    except EngineUnavailableError as error:
        print(f"The sandbox cannot run containers: {error}", file=sys.stderr)  # noqa: T201 - same
        return 2
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
    )
    facts = {"url": site.url, "engine": site.runner.engines.base.name}
    _Server(config, announcement, facts).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""HTTP for the rest of the package: requests, JSON, texts, and files streamed both ways.

With ``connection`` the only module that speaks HTTP. Not here: which path means what
(``projects``, ``sessions``, ``resources``, ``launch``).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse

from xnat_client.connection import Connection
from xnat_client.errors import RefusedError
from xnat_client.exchange import Answer, Call, StreamBody

T = TypeVar("T")
CHUNK_BYTES = 1 << 20
_EMPTY: Mapping[str, str] = MappingProxyType({})


class Transport(Connection):
    """What is asked over a connection; its parameters are those of ``Connection``."""

    def request(  # noqa: PLR0913  # one keyword for each part of an HTTP request
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str | Sequence[str]] = _EMPTY,
        headers: Mapping[str, str] = _EMPTY,
        body: bytes | StreamBody | None = None,
        accept: tuple[int, ...] = (200, 201),
        on_trouble: Callable[[], None] | None = None,
    ) -> Answer:
        """Send a request and read the whole answer.

        Parameters
        ----------
        method, path : str
            The path is absolute below the server's address, its segments already quoted.
        doing : str
            Completes "Cannot ..." in messages: ``list the sessions of project P``.
        accept : tuple of int
            Statuses that mean success; every other one raises.
        on_trouble : callable or None
            Is called after each try that came to nothing, before the pause; may raise to end it.

        Raises
        ------
        XnatClientError
            Any of the tree but BadInputError and RunFailedError.
        """
        call = Call(method, path, doing, query, headers, body, accept, on_trouble=on_trouble)
        return self._run(call, self._read_all)

    def get_json(
        self, path: str, *, doing: str, query: Mapping[str, str | Sequence[str]] = _EMPTY
    ) -> Any:
        """GET a JSON document. XNAT needs ``format=json`` in ``query`` for paths below /data."""
        answer = self.request("GET", path, doing=doing, query=query)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise RefusedError(
                f"Cannot {doing}: {self.host} did not answer with JSON. Check that the address is "
                "that of an XNAT server."
            ) from error

    def get_text(self, path: str, *, doing: str) -> str:
        """GET a short text."""
        return self.request("GET", path, doing=doing).text

    def download(
        self, path: str, target_path: Path, *, doing: str, check: Callable[[int, str], None]
    ) -> None:
        """GET a file: to a temporary name beside the target, checked, then renamed.

        Parameters
        ----------
        target_path : Path
            Its folder must exist; an existing file is replaced.
        check : callable
            Is given the size in bytes and the MD5 (lower-case hex) of what arrived; it raises to
            have it thrown away.
        """

        def consume(response: BaseHTTPResponse) -> None:
            part_path = target_path.parent / f".winxnat-{secrets.token_hex(8)}.part"
            try:
                with part_path.open("xb") as file:
                    check(*_copy(response, file.write))
                part_path.replace(target_path)
            finally:
                part_path.unlink(missing_ok=True)

        self._run(Call("GET", path, doing), consume)

    def continue_download(  # noqa: PLR0913  # what, where to, and who is told
        self,
        path: str,
        part_path: Path,
        *,
        doing: str,
        count: Callable[[int], None],
        restart: Callable[[], None],
        on_trouble: Callable[[], None] | None = None,
    ) -> tuple[int, str]:
        """GET a file to the end of what ``part_path`` holds already, by a range if it is known.

        A try that breaks is continued by the next one. Where the server answers a range with the
        whole file (200), the file is written anew.

        Parameters
        ----------
        count, restart : callable
            Are told the bytes as they come, and that they come anew.

        Returns
        -------
        size in bytes, MD5
            Of the whole file.
        """

        def consume(response: BaseHTTPResponse) -> None:
            held = part_path.stat().st_size if part_path.exists() else 0
            said = response.headers.get("Content-Range", "")
            if response.status == 416:  # noqa: PLR2004  # the range begins at or behind the end
                if said != f"bytes */{held}":
                    part_path.unlink(missing_ok=True)
                    raise ProtocolError("the rest of the file is not to be had")  # tried anew
                restart()
                count(held)
                return
            begins = re.match(r"bytes (\d+)-", said)
            goes_on = response.status == 206 and begins and int(begins.group(1)) == held  # noqa: PLR2004  # the HTTP number says more
            restart()
            if goes_on:
                count(held)
            with part_path.open("ab" if goes_on else "wb") as file:
                for chunk in response.stream(CHUNK_BYTES):
                    file.write(chunk)
                    count(len(chunk))

        renew = Call("GET", path, doing, accept=(200, 206, 416), on_trouble=on_trouble)

        def ranged() -> Call:
            held = part_path.stat().st_size if part_path.exists() else 0
            return replace(renew, headers={"Range": f"bytes={held}-"}) if held else renew

        self._run(ranged, consume)
        digest, size_bytes = hashlib.md5(usedforsecurity=False), 0
        with part_path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
        return size_bytes, digest.hexdigest()

    def digest(self, path: str, *, doing: str) -> tuple[int, str]:
        """GET a file without keeping it; return its size in bytes and its MD5."""
        return self._run(
            Call("GET", path, doing), lambda response: _copy(response, lambda _chunk: None)
        )

    def read(self, path: str, take: Callable[[Iterable[bytes]], T], *, doing: str) -> T:
        """GET a file and give it, piece by piece, to a function; return what that returns.

        A try that breaks is begun anew: the function is called once for each.
        """
        return self._run(
            Call("GET", path, doing), lambda response: take(response.stream(CHUNK_BYTES))
        )


def _copy(response: BaseHTTPResponse, write: Callable[[bytes], object]) -> tuple[int, str]:
    size_bytes, digest = 0, hashlib.md5(usedforsecurity=False)
    for chunk in response.stream(CHUNK_BYTES):
        write(chunk)
        digest.update(chunk)
        size_bytes += len(chunk)
    return size_bytes, digest.hexdigest()

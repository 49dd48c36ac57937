"""What goes over the wire and comes back: a request, its body, its answer, and two ways to fail.

Not here: sending it (``transport``), what a refusal means (``answers``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from xnat_client.errors import XnatClientError

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StreamBody:
    """A request body that is never held in memory as a whole.

    ``open_chunks`` is called once for each try; ``size_bytes`` is what it yields in all.
    """

    open_chunks: Callable[[], Iterable[bytes]]
    size_bytes: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the server."""

    status: int
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Return the body as text without surrounding blanks and line ends."""
        return self.body.decode("utf-8", errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as often as it has to be sent; the fields are those of ``Transport.request``."""

    method: str
    path: str
    doing: str
    query: Mapping[str, str | Sequence[str]] = field(default_factory=lambda: _EMPTY)
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    body: bytes | StreamBody | None = None
    accept: tuple[int, ...] = (200, 201)
    retry_connecting: bool = True
    on_trouble: Callable[[], None] | None = None


class TransientError(Exception):
    """One try came to nothing; ``error`` is what to raise when patience ends."""

    def __init__(self, error: XnatClientError, retry_after_s: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.retry_after_s = retry_after_s


class SessionEndedError(Exception):
    """The server no longer knows the cookie; ``error`` is what to raise if a new one does not help.

    XNAT ends a session after some idle minutes.
    """

    def __init__(self, error: XnatClientError) -> None:
        super().__init__()
        self.error = error

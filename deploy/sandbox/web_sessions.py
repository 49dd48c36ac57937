"""Web sessions (the JSESSIONID cookie), in memory: like a servlet container's, they end with it.

Not here: credentials (``people``) and the guard (``guard``).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass

MAX_SESSIONS = 10_000
"""Clients that never keep cookies open a session with each request; the oldest go first."""
MAX_OF_ONE_USER = 1_000
"""Beyond it a user's own oldest session ends, so that one client cannot end everybody's."""


@dataclass(slots=True)
class WebSession:
    """One browser or client session. Times in seconds of the monotonic clock.

    ``alias`` is the alias token that opened it, if one did: the session ends with the token.
    """

    id: str
    user_id: int
    csrf: str
    last_used: float
    alias: str | None = None


class WebSessions:
    """All open sessions; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, WebSession] = {}
        self._counts: Counter[int] = Counter()

    def open(self, user_id: int, alias: str | None = None) -> WebSession:
        """Open a session for a user (0: the guest), perhaps by an alias token."""
        session = WebSession(
            id=secrets.token_hex(16).upper(),
            user_id=user_id,
            csrf=secrets.token_urlsafe(24),
            last_used=time.monotonic(),
            alias=alias,
        )
        with self._lock:
            self._sessions[session.id] = session
            self._counts[user_id] += 1
            if self._counts[user_id] > MAX_OF_ONE_USER:
                own = (each.id for each in self._sessions.values() if each.user_id == user_id)
                self._drop(next(own))
            while len(self._sessions) > MAX_SESSIONS:
                self._drop(next(iter(self._sessions)))
        return session

    def _drop(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._counts[session.user_id] -= 1

    def find(self, session_id: str, timeout_s: float) -> WebSession | None:
        """Return the session and mark it used, or None when it is unknown or timed out."""
        now = time.monotonic()
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            if now - session.last_used > timeout_s:
                self._drop(session_id)
                return None
            session.last_used = now
            del self._sessions[session_id]
            self._sessions[session_id] = session  # at the end: most recently used
            return session

    def close(self, session_id: str) -> None:
        """End a session; unknown ones are already closed."""
        with self._lock:
            self._drop(session_id)

    def by_user(self, timeout_s: float) -> dict[int, list[str]]:
        """Return the ids of the open sessions of each user, oldest use first."""
        oldest = time.monotonic() - timeout_s
        found: dict[int, list[str]] = {}
        with self._lock:
            for session in self._sessions.values():
                if session.last_used >= oldest:
                    found.setdefault(session.user_id, []).append(session.id)
        return found

    def close_user(self, user_id: int) -> list[str]:
        """End all sessions of a user; return their ids."""
        with self._lock:
            ended = [s.id for s in self._sessions.values() if s.user_id == user_id]
            for session_id in ended:
                self._drop(session_id)
        return ended

"""How patient the client is, and whom it trusts.

Not here: what is done with it (``transport``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xnat_client.errors import UsageError


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How patient the client is.

    Retried are: 429 and 503 for every method (the server did not begin), connections that never
    came about for every method, and broken connections, 502 and 504 for GET, PUT and DELETE only:
    after those a POST may have taken effect.

    Parameters
    ----------
    connect_timeout_s, read_timeout_s : float
        Seconds to wait for the connection, and between two pieces of an answer. An import is
        answered only when the archive is built, hence the long second one.
    max_attempts : int
        Tries in all, at least 1.
    first_pause_s, longest_pause_s : float
        Pause after the first failed try; doubled each time, with jitter, up to the longest.
    longest_retry_after_s : float
        A longer ``Retry-After`` is not waited for.
    connections : int
        Connections that are kept open.
    ca_bundle : Path or None
        Certificates to trust instead of the system's. Verification cannot be turned off.
    allow_http : bool
        Send credentials over plain http to another machine too.
    """

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 600.0
    max_attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_retry_after_s: float = 300.0
    connections: int = 8
    ca_bundle: Path | None = None
    allow_http: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> TransportSettings:
        """Read REQUESTS_CA_BUNDLE, SSL_CERT_FILE (in this order) and WINXNAT_ALLOW_HTTP."""
        known = os.environ if environment is None else environment
        named = known.get("REQUESTS_CA_BUNDLE") or known.get("SSL_CERT_FILE")
        if named and not Path(named).exists():
            raise UsageError(
                "The certificate bundle that REQUESTS_CA_BUNDLE or SSL_CERT_FILE names does not "
                "exist. Correct or unset the variable."
            )
        return cls(
            ca_bundle=Path(named) if named else None,
            allow_http=known.get("WINXNAT_ALLOW_HTTP", "").lower() in ("1", "true", "yes"),
        )

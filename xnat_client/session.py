"""The connection to a server that everything else starts from.

Not here: HTTP (``transport``), imaging sessions (``sessions``).
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from xnat_client.address import check_address
from xnat_client.credentials import Credentials, find_credentials
from xnat_client.errors import UsageError
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings


class XnatServer:
    """A logged-in server; a context manager that logs out at its end.

    Attributes
    ----------
    transport : Transport
        What the functions of this package take.
    credentials : Credentials
        ``credentials.source`` says where they were found.
    """

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self.transport = transport
        self.credentials = credentials
        self._xnat: Any = None
        self._account = ""

    def __repr__(self) -> str:
        return f"XnatServer({self.transport.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def account(self) -> str:
        """Return the login name of the account; an alias token among the credentials is none."""
        if not self._account:
            doing = "ask for the name of this account"
            self._account = self.transport.get_text("/xapi/users/username", doing=doing).strip()
        return self._account

    @property
    def xnat(self) -> Any:
        """Return an xnatpy connection with the same credentials, made on first use.

        xnatpy is imported here because that alone takes longer than most commands; on
        connecting it reads the server's schemas.
        """
        if self._xnat is None:
            import xnat  # noqa: PLC0415  # see the docstring

            settings = self.transport.settings
            self._xnat = xnat.connect(
                self.transport.url,
                user=self.credentials.user,
                password=self.credentials.password,
                verify=str(settings.ca_bundle) if settings.ca_bundle else True,
            )
        return self._xnat

    def close(self) -> None:
        """Log out, of xnatpy too if it was used."""
        if self._xnat is not None:
            self._xnat.disconnect()
            self._xnat = None
        self.transport.close()


def connect(
    url: str | None = None,
    user: str | None = None,
    password: str | None = None,
    *,
    settings: TransportSettings | None = None,
    provider: str | None = None,
) -> XnatServer:
    """Log in to an XNAT server.

    Parameters
    ----------
    url : str or None
        None for the environment variable XNAT_HOST (or XNATPY_HOST).
    user, password : str or None
        What is not given is searched in the environment, netrc file and keyring, and asked for
        on a terminal (``credentials.find_credentials``).
    settings : TransportSettings or None
        Time-outs, retries and certificates; None for the defaults and the environment.
    provider : str or None
        Authentication provider, if the server has several.

    Raises
    ------
    UsageError
        No or an unacceptable address; no credentials.
    NotLoggedInError
        The server does not accept the credentials.
    UnreachableError, RefusedError
        No XNAT answers at the address.

    Examples
    --------
    >>> connect("ftp://xnat.example.org", "reader", "secret")
    Traceback (most recent call last):
    ...
    xnat_client.errors.UsageError: The server address must begin with https:// (or http://) and \
name a host, like https://xnat.example.org
    """
    address = url or os.environ.get("XNAT_HOST") or os.environ.get("XNATPY_HOST")
    if not address:
        raise UsageError("No server was named. Pass --server, or set XNAT_HOST to its address.")
    patience = settings or TransportSettings.from_environment()
    checked = check_address(address, allow_http=patience.allow_http)
    credentials = find_credentials(checked, user, password)
    transport = Transport(checked, credentials, patience, provider=provider)
    transport.log_in()
    return XnatServer(transport, credentials)

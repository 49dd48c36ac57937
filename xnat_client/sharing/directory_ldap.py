"""Reading the members of the centre from a directory that speaks LDAP.

Only over TLS, with the server's certificate checked; a plain connection is for this machine only.
Not here: what is made of the members (``directory``).
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from xnat_client.address import is_this_machine
from xnat_client.errors import NotLoggedInError, UnreachableError, UsageError
from xnat_client.sharing.directory import LDAP_ATTRIBUTES, Attributes, Member, members_of

with warnings.catch_warnings():
    # Its last release uses names of its ASN.1 library that are being renamed.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPException

_PAGE = 500
_TIMEOUT_S = 30


@dataclass(frozen=True)
class LdapPlace:
    """Where the members are in a directory.

    Attributes
    ----------
    url : str
        ``ldaps://host[:port]`` or ``ldap://host[:port]``, which is turned to TLS (StartTLS).
    base : str
        Distinguished name below which people are.
    search_filter : str
        Which entries are members (RFC 4515).
    attributes : Attributes
        Which attribute holds what.
    bind_dn, password : str
        Account that reads the directory; both empty for an anonymous reading.
    ca_file : str
        Certificates to trust; empty for the system's.
    """

    url: str
    base: str
    search_filter: str = "(objectClass=person)"
    attributes: Attributes = LDAP_ATTRIBUTES
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""


def read_ldap(place: LdapPlace) -> list[Member]:
    """Read the members from a directory, page by page.

    Raises
    ------
    UsageError
        The address is none of LDAP.
    UnreachableError
        The directory does not answer, or its certificate is not trusted.
    NotLoggedInError
        It does not accept the account.
    BadInputError
        It names nobody, or somebody twice, or an entry lacks identity or name.
    """
    connection = _connection(place)
    try:
        _open(connection, place)
        entries = list(_entries(connection, place))
    except LDAPException as error:
        raise UnreachableError(
            f"The directory did not answer as it should ({type(error).__name__}). "
            "Check its address, its certificate and the search base."
        ) from None  # the library's texts may hold the account
    finally:
        if not connection.closed:
            connection.unbind()
        if connection.socket is not None:  # the library forgets one that was never connected
            connection.socket.close()
    return members_of(entries, place.attributes, "the directory")


def _connection(place: LdapPlace) -> ldap3.Connection:
    parts = urlsplit(place.url)
    if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname or parts.username:
        raise UsageError("The directory's address is ldaps://host or ldap://host, without a name.")
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=place.ca_file or None)
    server = ldap3.Server(
        parts.hostname,
        port=parts.port,
        use_ssl=parts.scheme == "ldaps",
        tls=tls,
        get_info=ldap3.NONE,
        connect_timeout=_TIMEOUT_S,
    )
    return ldap3.Connection(
        server,
        user=place.bind_dn or None,
        password=place.password or None,
        receive_timeout=_TIMEOUT_S,
        read_only=True,
        raise_exceptions=False,
        check_names=False,
    )


def _open(connection: ldap3.Connection, place: LdapPlace) -> None:
    parts = urlsplit(place.url)
    connection.open()
    plain_is_safe = parts.scheme == "ldaps" or is_this_machine(parts.hostname or "")
    if not plain_is_safe and not connection.start_tls():
        raise UnreachableError(
            "The directory does not turn to an encrypted connection. Use its ldaps:// address."
        )
    if not connection.bind():
        raise NotLoggedInError(
            "The directory does not accept the account that reads it. Check name and password."
        )


def _entries(connection: ldap3.Connection, place: LdapPlace) -> Iterator[dict[str, list[str]]]:
    names = place.attributes
    wanted = {names.person_id, names.name, names.email, names.username, names.active} - {""}
    found: Any = connection.extend.standard.paged_search(
        place.base,
        place.search_filter,
        attributes=sorted(wanted),
        paged_size=_PAGE,
        generator=True,
    )
    for entry in found:
        if entry.get("type") == "searchResEntry":
            yield {
                name.casefold(): [value.decode("utf-8", "replace") for value in values]
                for name, values in entry["raw_attributes"].items()
            }
    # Without this a search that was refused or cut short would look like a small centre.
    code = connection.result["result"]
    if code != 0:
        raise LDAPException("the search did not end well")

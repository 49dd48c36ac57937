"""Which addresses and names are accepted."""

from __future__ import annotations

import pytest

from xnat_client.address import check_address, check_label, check_project_id, path_of
from xnat_client.errors import UsageError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://xnat.example.org/", "https://xnat.example.org"),
        ("https://xnat.example.org:8443/xnat/", "https://xnat.example.org:8443/xnat"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_accepted_addresses(url: str, expected: str) -> None:
    """Https is accepted everywhere, http on this machine; a trailing slash is dropped."""
    assert check_address(url, allow_http=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://xnat.example.org",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "ftp://xnat.example.org",
        "xnat.example.org",
        "https://",
        "https://host:notaport",
        "https://host/?a=b",
        "",
    ],
)
def test_refused_addresses(url: str) -> None:
    """Anything that is no server address, or would send the password in the clear, is refused."""
    with pytest.raises(UsageError):
        check_address(url, allow_http=False)


def test_http_to_others_needs_consent() -> None:
    """The setting that trusts the network makes plain http acceptable."""
    assert check_address("http://xnat.lan", allow_http=True) == "http://xnat.lan"


def test_credentials_in_the_address_are_refused_and_not_repeated() -> None:
    """A password in the address is refused, and the message does not hold it."""
    with pytest.raises(UsageError) as caught:
        check_address("https://reader:hunter2@xnat.example.org", allow_http=False)

    assert "hunter2" not in str(caught.value)
    assert "reader" not in str(caught.value)


@pytest.mark.parametrize("label", ["", ".", "..", ".hidden", "a/b", "a b", "Müller^Hans", "x" * 65])
def test_refused_labels_are_not_repeated(label: str) -> None:
    """A label that XNAT cannot hold is refused without quoting it: it may be a name."""
    with pytest.raises(UsageError) as caught:
        check_label("subject", label)

    assert "Müller" not in str(caught.value)


@pytest.mark.parametrize("label", ["sub-01", "S_1.2", "0"])
def test_accepted_labels(label: str) -> None:
    """Letters, digits, '_', '-' and '.' may be used."""
    assert check_label("subject", label) == label


def test_project_ids_have_no_dot() -> None:
    """XNAT's rule for project IDs is narrower than that for labels."""
    assert check_project_id("P-1_a") == "P-1_a"
    with pytest.raises(UsageError):
        check_project_id("P.1")


def test_paths_are_quoted() -> None:
    """A slash, question mark or umlaut in a name stays inside its segment (RFC 3986)."""
    assert path_of("data", "a/b", "c?d", "ü") == "/data/a%2Fb/c%3Fd/%C3%BC"

"""Where user name and password come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest

from xnat_client.credentials import Credentials, find_credentials
from xnat_client.errors import UsageError

URL = "https://xnat.example.org"


class _MemoryKeyring(keyring.backend.KeyringBackend):
    priority = 1  # type: ignore[assignment]  # the library declares a computed property

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def memory_keyring() -> Iterator[_MemoryKeyring]:
    """A keyring of the test's own, so that nobody's real one is asked."""
    before = keyring.get_keyring()
    backend = _MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture
def netrc_path(tmp_path: Path) -> Path:
    path = tmp_path / "netrc"
    path.write_text("machine xnat.example.org login filed password from-file\n")
    path.chmod(0o600)
    return path


def test_arguments_go_first(netrc_path: Path) -> None:
    """What the Python caller gives is used whatever else is there."""
    environment = {"XNAT_USER": "env", "XNAT_PASS": "from-env", "NETRC": str(netrc_path)}

    found = find_credentials(URL, "given", "secret", environment=environment, ask=False)

    assert found == Credentials("given", "secret", "argument")


@pytest.mark.parametrize(
    ("environment", "user", "source"),
    [
        ({"XNAT_USER": "a", "XNAT_PASS": "p"}, "a", "environment variable XNAT_PASS"),
        ({"XNATPY_USER": "b", "XNATPY_PASS": "p"}, "b", "environment variable XNATPY_PASS"),
        (
            {"XNATPY_USER": "b", "XNATPY_PASS": "p", "XNAT_USER": "a", "XNAT_PASS": "p"},
            "a",
            "environment variable XNAT_PASS",
        ),
    ],
)
def test_environment_goes_before_netrc(
    netrc_path: Path, environment: dict[str, str], user: str, source: str
) -> None:
    """The Container Service's variables come first, then xnatpy's, then netrc."""
    found = find_credentials(URL, environment={**environment, "NETRC": str(netrc_path)}, ask=False)

    assert (found.user, found.source) == (user, source)


def test_netrc_is_read_by_host(netrc_path: Path) -> None:
    """The file that NETRC names is searched for the server's host."""
    found = find_credentials(URL, environment={"NETRC": str(netrc_path)}, ask=False)

    assert found == Credentials("filed", "from-file", "netrc file")
    with pytest.raises(UsageError, match="No user name and password"):
        find_credentials(
            "https://other.example.org", environment={"NETRC": str(netrc_path)}, ask=False
        )


def test_password_of_another_user_is_not_taken(netrc_path: Path) -> None:
    """With a user named, neither netrc nor environment lend somebody else's password."""
    environment = {"XNAT_USER": "env", "XNAT_PASS": "from-env", "NETRC": str(netrc_path)}

    with pytest.raises(UsageError, match="No password for the given user"):
        find_credentials(URL, "third", environment=environment, ask=False)


def test_broken_netrc_does_not_show_its_words(tmp_path: Path) -> None:
    """The standard parser quotes what it does not understand; our message must not."""
    path = tmp_path / "netrc"
    path.write_text("machine xnat.example.org login a passwort hunter2\n")
    path.chmod(0o600)

    with pytest.raises(UsageError, match="line 1") as caught:
        find_credentials(URL, environment={"NETRC": str(path)}, ask=False)

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_password_is_not_in_the_repr() -> None:
    """Printing credentials shows where they came from and not what they are."""
    assert "hunter2" not in repr(Credentials("a", "hunter2", "netrc file"))


@pytest.mark.parametrize("user", ["kept", None])
def test_keyring_is_asked_for_the_named_user(
    memory_keyring: _MemoryKeyring, tmp_path: Path, user: str | None
) -> None:
    """A password stored with ``keyring set`` is found, the user named by argument or XNAT_USER."""
    memory_keyring.set_password(f"winxnat:{URL}", "kept", "from-keyring")
    empty = tmp_path / "netrc"
    empty.touch(mode=0o600)
    environment = {"NETRC": str(empty), **({} if user else {"XNAT_USER": "kept"})}

    found = find_credentials(URL, user, environment=environment, ask=False)

    assert found == Credentials("kept", "from-keyring", "keyring")

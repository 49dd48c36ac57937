"""Reading the members from a real LDAP server (OpenLDAP's slapd)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from xnat_client.errors import BadInputError, NotLoggedInError, UnreachableError, UsageError
from xnat_client.sharing.directory import Attributes, Member
from xnat_client.sharing.directory_ldap import LdapPlace, read_ldap

READER, PASSWORD = "cn=reader,dc=x", "reading only"
COUNT = 1200
"""More than the 500 entries that the server gives at once."""

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
sizelimit size.soft=500 size.hard=500 size.prtotal=unlimited
access to * by dn.exact="{reader}" read by anonymous auth
database mdb
suffix "dc=x"
rootdn "{reader}"
rootpw "{password}"
directory {folder}/data
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A directory of 1,200 people on a free port of this machine."""
    program = shutil.which("slapd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("slapd is not installed (run: bash .ci/run)")
    folder = tmp_path_factory.mktemp("slapd")
    (folder / "data").mkdir()
    text = CONFIGURATION.format(reader=READER, password=PASSWORD, folder=folder)
    (folder / "slapd.conf").write_text(text)
    people = "".join(
        f"\ndn: uid=u{number},dc=x\nobjectClass: inetOrgPerson\nuid: u{number}\n"
        f"cn: Person {number}\nsn: Person\nmail: u{number}@x.test\n"
        f"employeeType: {'staff' if number % 2 else 'guest'}\n"
        for number in range(COUNT)
    )
    domain = "dn: dc=x\nobjectClass: domain\ndc: x\n"
    add = ["/usr/sbin/slapadd", "-q", "-f", str(folder / "slapd.conf")]
    subprocess.run(add, input=domain + people, text=True, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ldap://127.0.0.1:{free.getsockname()[1]}"
    command = [program, "-f", str(folder / "slapd.conf"), "-h", url, "-d", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(int(url.rpartition(":")[2]))
    yield url
    server.terminate()
    server.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("slapd did not start")


def place(url: str, **changes: object) -> LdapPlace:
    fields = {"base": "dc=x", "bind_dn": READER, "password": PASSWORD, **changes}
    return LdapPlace(url, **fields)


def test_all_pages_are_read(slapd: str):
    """The server gives 500 entries at once; all of them are members in the end."""
    found = read_ldap(place(slapd))

    assert len(found) == COUNT
    assert Member("u7", "Person 7", "u7@x.test", username="u7") in found


def test_a_filter_chooses_members(slapd: str):
    """Guests are in the directory but are no members."""
    assert len(read_ldap(place(slapd, search_filter="(employeeType=staff)"))) == COUNT // 2


def test_an_attribute_may_say_who_is_active(slapd: str):
    """A value that does not say so clearly counts as no."""
    names = Attributes("uid", "cn", "mail", "uid", "employeeType")

    assert not any(one.active for one in read_ldap(place(slapd, attributes=names)))


def test_a_wrong_password_reads_nothing(slapd: str):
    """The error names neither the account nor the password."""
    with pytest.raises(NotLoggedInError) as caught:
        read_ldap(place(slapd, password="wrong one"))

    assert "wrong one" not in str(caught.value)
    assert "reader" not in str(caught.value)


def test_a_search_that_is_refused_is_no_small_centre(slapd: str):
    """Anonymous readers may not search here; nobody loses their access by that."""
    with pytest.raises((UnreachableError, BadInputError)):
        read_ldap(place(slapd, bind_dn="", password=""))


def test_a_base_that_is_not_there_is_an_error(slapd: str):
    """A slip in the search base is no empty centre."""
    with pytest.raises(UnreachableError):
        read_ldap(place(slapd, base="dc=elsewhere"))


def test_nobody_answers():
    """An address without a server is reported as such."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(UnreachableError):
        read_ldap(place(f"ldap://127.0.0.1:{port}"))


@pytest.mark.parametrize("url", ["http://x", "ldap://", "ldap://user:secret@x"])
def test_other_addresses_are_refused(url: str):
    """And never repeated, for they may hold a password."""
    with pytest.raises(UsageError) as caught:
        read_ldap(place(url))

    assert "secret" not in str(caught.value)

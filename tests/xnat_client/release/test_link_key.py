"""A link table's key that is there without its table: what an interruption between both leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from xnat_client.errors import ConflictError
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_file import KEYS_VARIABLE
from xnat_client.sharing.link_table import LinkTable, key_path

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(KEYS_VARIABLE, str(tmp_path / "keys"))
    return Home(tmp_path / "home", "")


def test_a_key_without_a_table_is_taken_and_opens_an_earlier_table_still(home: Home) -> None:
    earlier = LinkTable.create(home, "heads", now=NOW)
    earlier.add("S1", "", "b2cdfghj")
    kept = earlier.path.read_bytes()
    key = earlier.key_file.read_bytes()
    earlier.path.unlink()

    LinkTable.create(home, "heads", now=NOW).add("S2", "", "c3cdfghj")

    assert earlier.key_file.read_bytes() == key
    assert LinkTable.open(home, "heads").labels_of("S2") == {"": "c3cdfghj"}
    earlier.path.write_bytes(kept)
    assert LinkTable.open(home, "heads").labels_of("S1") == {"": "b2cdfghj"}


@pytest.mark.parametrize("content", [b"", b"00ff\n", b"no key at all\n", b"\xff\xfe\n"])
def test_what_is_no_key_is_left_for_a_person_to_look_at(content: bytes, home: Home) -> None:
    place = key_path(home, "heads")
    place.parent.mkdir(parents=True)
    place.touch(mode=0o600)
    place.write_bytes(content)

    with pytest.raises(ConflictError, match="no key"):
        LinkTable.create(home, "heads", now=NOW)

    assert place.read_bytes() == content

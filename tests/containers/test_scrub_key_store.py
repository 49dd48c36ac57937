"""The key store: what a wrong passphrase, a damaged file and other users meet."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from containers.scrub_headers import key_store
from containers.scrub_headers.key_store import KeyStoreError

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A key store."""
    path = tmp_path / "keys.json"
    key_store.create(path, PASSPHRASE)
    return path


def test_secret_comes_back_and_is_not_in_the_file(store: Path):
    """The secret is sealed: its bytes do not stand in the file, whatever their form."""
    keys = key_store.remember(store, PASSPHRASE, {"W3T_2026_001": "P01"})

    again = key_store.read(store, PASSPHRASE)
    content = store.read_bytes()
    assert (again.secret, again.date_shift) == (keys.secret, keys.date_shift)
    assert again.labels == {"W3T_2026_001": "P01"}
    assert keys.secret not in content
    assert keys.secret.hex().encode() not in content.lower()
    assert b"W3T_2026" not in content


def test_only_the_owner_may_read_it(store: Path):
    """The file is made with rights for its owner alone, and refused with more."""
    assert store.stat().st_mode & 0o777 == 0o600

    store.chmod(0o640)

    with pytest.raises(KeyStoreError, match="chmod 600"):
        key_store.read(store, PASSPHRASE)


def test_wrong_passphrase_is_told_from_nothing_else(store: Path):
    """A wrong passphrase gives one sentence, which does not hold it."""
    with pytest.raises(KeyStoreError, match="does not open") as caught:
        key_store.read(store, "wrong horse battery staple")

    assert "horse" not in str(caught.value)


def test_every_changed_byte_is_noticed(store: Path):
    """No change of the file gives other keys: each is refused."""
    content = store.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        store.write_bytes(changed)
        try:
            found = key_store.read(store, PASSPHRASE)
        except KeyStoreError:
            continue
        # White space of the document means nothing.
        store.write_bytes(content)
        assert found.secret == key_store.read(store, PASSPHRASE).secret


def test_a_costly_derivation_in_the_file_is_refused(store: Path):
    """A file cannot make the reader spend gigabytes on deriving a key."""
    document = json.loads(store.read_bytes())
    document["kdf"]["n"] = 2**30
    store.write_text(json.dumps(document))

    with pytest.raises(KeyStoreError, match="damaged"):
        key_store.read(store, PASSPHRASE)


def test_a_store_is_never_replaced_by_a_new_one(store: Path):
    """Making a store where one is would break all its pseudonyms."""
    before = store.read_bytes()

    with pytest.raises(KeyStoreError, match="already"):
        key_store.create(store, PASSPHRASE)

    assert store.read_bytes() == before


def test_short_passphrases_are_refused(tmp_path: Path):
    """A passphrase that can be guessed seals nothing."""
    with pytest.raises(KeyStoreError, match="12 characters"):
        key_store.create(tmp_path / "keys.json", "secret")


def test_new_passphrase_keeps_the_pseudonyms(store: Path):
    """After a change only the new passphrase opens the store, and the secret is the same."""
    secret = key_store.read(store, PASSPHRASE).secret

    key_store.change_passphrase(store, PASSPHRASE, "another five random words")

    assert key_store.read(store, "another five random words").secret == secret
    with pytest.raises(KeyStoreError):
        key_store.read(store, PASSPHRASE)


def test_labels_stay_one_to_one(store: Path):
    """Neither two labels for one participant nor one label for two are accepted."""
    key_store.remember(store, PASSPHRASE, {"a": "P01"})

    with pytest.raises(KeyStoreError, match="another label"):
        key_store.remember(store, PASSPHRASE, {"a": "P02"})
    with pytest.raises(KeyStoreError, match="two participants"):
        key_store.remember(store, PASSPHRASE, {"b": "P01"})


def test_writers_at_the_same_time_lose_nothing(store: Path):
    """Each of several writers finds its label in the store afterwards."""
    threads = [
        threading.Thread(
            target=key_store.remember, args=(store, PASSPHRASE, {f"p{each}": f"L{each}"})
        )
        for each in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(key_store.read(store, PASSPHRASE).labels) == 6


def test_destroyed_store_is_gone(store: Path):
    """After destruction there is neither the file nor anything beside it."""
    key_store.destroy(store)

    assert list(store.parent.iterdir()) == []
    with pytest.raises(KeyStoreError, match="cannot be read"):
        key_store.read(store, PASSPHRASE)

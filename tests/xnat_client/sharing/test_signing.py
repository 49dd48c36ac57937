"""Personal keys: files only their owner opens, signatures that other programs can verify."""

from __future__ import annotations

import base64
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from tests.builders.sharing import Site
from xnat_client.errors import BadInputError, ConflictError, NotAllowedError, UsageError
from xnat_client.sharing import signing
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.vocabulary import Role

PASSPHRASE = "twelve or more characters"
TEXT = b"what is decided"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file as ``make_key`` writes it."""
    path = tmp_path / "keys" / "mine.pem"
    signing.make_key(path, PASSPHRASE)
    return path


def test_key_file_is_readable_by_its_owner_only_and_encrypted(key_file: Path) -> None:
    """Mode 600, and a container that says that it needs a passphrase."""
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_signature_is_verified_by_openssl(key_file: Path, tmp_path: Path) -> None:
    """Another program accepts the signature, made with the key of the file."""
    key = signing.load_key(key_file, PASSPHRASE)
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "signature").write_bytes(base64.b64decode(signing.sign(key, TEXT)))
    # The fixed beginning of an Ed25519 public key in DER (RFC 8410, section 4).
    prefix = bytes.fromhex("302a300506032b6570032100")
    der = prefix + base64.b64decode(signing.public_text(key.public_key()))
    (tmp_path / "public.der").write_bytes(der)

    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER",
         "-inkey", "public.der", "-in", "text", "-sigfile", "signature"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "Signature Verified Successfully" in done.stdout


def test_published_signature_is_accepted_and_any_change_refused() -> None:
    """Test 2 of RFC 8032, section 7.1."""
    public = base64.b64encode(
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    ).decode()
    signature = base64.b64encode(
        bytes.fromhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        )
    ).decode()

    assert signing.is_signed(public, b"\x72", signature)
    assert not signing.is_signed(public, b"\x73", signature)
    for broken in ("", "no base64!", signature[:-4]):
        assert not signing.is_signed(public, b"\x72", broken)
        assert not signing.is_signed(broken, b"\x72", signature)


def test_wrong_passphrase_open_file_or_missing_file_are_said_plainly(key_file: Path) -> None:
    """One sentence each, without the passphrase."""
    with pytest.raises(BadInputError, match="passphrase") as caught:
        signing.load_key(key_file, "another long passphrase")
    assert "another long" not in str(caught.value)
    with pytest.raises(BadInputError, match="Make one"):
        signing.load_key(key_file.with_name("none.pem"), PASSPHRASE)
    key_file.chmod(0o644)
    with pytest.raises(BadInputError, match="chmod 600"):
        signing.load_key(key_file, PASSPHRASE)


def test_key_is_never_overwritten_nor_made_without_a_long_passphrase(
    key_file: Path, tmp_path: Path
) -> None:
    """Approvals may rest on the old one; a short passphrase protects nothing."""
    before = key_file.read_bytes()

    with pytest.raises(ConflictError):
        signing.make_key(key_file, PASSPHRASE)
    with pytest.raises(UsageError):
        signing.make_key(tmp_path / "other.pem", "short")

    assert key_file.read_bytes() == before
    assert not (tmp_path / "other.pem").exists()


def test_one_key_belongs_to_one_person(site: Site, now: datetime, key_file: Path) -> None:
    """Two people never share a key, and an old key stays its owner's."""
    public = signing.public_text(signing.load_key(key_file, PASSPHRASE).public_key())
    with site.records.transaction() as session:
        signing.register_key(session, site.acting(Role.LEAD), site.lead, public, now=now)

        with pytest.raises(ConflictError):
            signing.register_key(session, site.acting(Role.STEWARD), site.steward, public, now=now)


def test_nobody_records_the_first_key_of_another_but_the_officer(
    site: Site, now: datetime, key_file: Path
) -> None:
    """An administrator cannot make themself the signer of somebody else."""
    public = signing.public_text(signing.load_key(key_file, PASSPHRASE).public_key())
    with site.records.transaction() as session:
        for role in (Role.ADMINISTRATOR, Role.LEAD, Role.STUDY_TEAM):
            with pytest.raises(NotAllowedError):
                signing.register_key(session, site.acting(role), site.steward, public, now=now)
        pretended = Actor(site.requester, Role.OFFICER, "not an officer")
        with pytest.raises(NotAllowedError):
            signing.register_key(session, pretended, site.steward, public, now=now)

        signing.register_key(session, site.acting(Role.OFFICER), site.steward, public, now=now)

        assert signing.keys_of(session) == {site.steward: frozenset({public})}


def test_compromised_keys_lose_what_they_signed(site: Site, now: datetime, tmp_path: Path) -> None:
    """A replaced key keeps its signatures, unless the officer says that it was lost."""
    first, second, third = (
        signing.make_key(tmp_path / f"{number}.pem", PASSPHRASE) for number in range(3)
    )
    officer = site.acting(Role.OFFICER)
    with site.records.transaction() as session:
        signing.register_key(session, site.acting(Role.LEAD), site.lead, first, now=now)
        signing.register_key(session, officer, site.lead, second, now=now)
        assert signing.keys_of(session)[site.lead] == {first, second}

        signing.register_key(session, officer, site.lead, third, now=now, old_is_compromised=True)

        assert signing.keys_of(session)[site.lead] == {third}

"""Texts to be accepted: one legal text a version, accepted in person, by digest, for a time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders.sharing import Site
from xnat_client.errors import BadInputError, ConflictError, NotAllowedError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.records import agreements
from xnat_client.sharing.records.agreement_text import (
    AgreementText,
    Clause,
    parts_of_version,
    read_agreement,
)
from xnat_client.sharing.records.agreements import Signing, Standing
from xnat_client.sharing.vocabulary import Role

FILE = """---
id: dua
version: "1.0.0"
language: en
effective_on: 2026-01-01
summary: Be careful.
clauses:
  - {id: no-reidentification, tick: true}
  - {id: credit}
---

# Agreement

### 1. No re-identification [no-reidentification]

You do not try.

### 2. Credit [credit]

You cite.
"""

TEXT = AgreementText(
    "dua", "1.0.0", "en", date(2026, 1, 1),
    (Clause(1, "no-reidentification", "No re-identification", tick=True),
     Clause(2, "credit", "Credit", tick=False)),
    "Be careful.", "The whole text.\n",
)  # fmt: skip

DIGEST = hashlib.sha256(b"The whole text.\n").hexdigest()


def add(site: Site, now: datetime, text: AgreementText = TEXT) -> None:
    with site.records.transaction() as session:
        agreements.add_agreement(session, site.acting(Role.OFFICER), text, now=now)


def reader(site: Site) -> Actor:
    return site.acting(Role.EXTERNAL)


SIGNING = Signing("dua", "1.0.0", DIGEST, ("no-reidentification",), "external1 person", "brains")


def test_a_file_is_read(tmp_path: Path):
    """Header and text come out as they stand in the file."""
    (tmp_path / "a.md").write_text(FILE.replace("\n", "\r\n"), newline="")

    text = read_agreement(tmp_path / "a.md")

    assert (text.agreement_id, text.version, text.legal) == ("dua", "1.0.0", True)
    assert text.clauses == TEXT.clauses
    assert text.text.startswith("# Agreement\n")
    assert text.sha256 == hashlib.sha256(text.text.encode()).hexdigest()


# Slips of whoever writes a text: each is found before anybody can accept it.
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("  - {id: credit}\n", "", "numbered headings"),
        ("### 2. Credit [credit]", "### 3. Credit [credit]", "numbered headings"),
        ("[credit]\n", "[citation]\n", "numbered headings"),
        ('"1.0.0"', "1.0", "'version'"),
        ('"1.0.0"', '"1.0"', "'version'"),
        ("effective_on: 2026-01-01", "effective_on: soon", "'effective_on'"),
        ("summary: Be careful.\n", "", "missing: summary"),
        ("language: en", "language: en\nlegally: true", "unknown fields: legally"),
        ("tick: true", "tick: sometimes", "'tick'"),
        ("---\nid", "id", "header"),
    ],
)
def test_a_slip_in_the_file_is_found(tmp_path: Path, old: str, new: str, reason: str):
    """The text for people and the list for machines cannot differ."""
    assert old in FILE
    (tmp_path / "a.md").write_text(FILE.replace(old, new, 1))

    with pytest.raises(BadInputError, match=reason):
        read_agreement(tmp_path / "a.md")


def test_versions_are_ordered_by_number():
    """1.10.0 comes after 1.9.0, and 01.0.0 is no version."""
    assert parts_of_version("1.10.0") > parts_of_version("1.9.0")
    for text in ("01.0.0", "1.0", "1.0.0-rc1", "1.0.0\n", ""):
        with pytest.raises(BadInputError):
            parts_of_version(text)


def test_a_version_keeps_its_text(site: Site, now: datetime):
    """The same again changes nothing; another text needs another version."""
    add(site, now)
    add(site, now)

    with pytest.raises(ConflictError, match="new version"):
        add(site, now, replace(TEXT, text="Another text.\n"))


def test_versions_only_go_up(site: Site, now: datetime):
    """A lower version would be accepted by mistake."""
    add(site, now)

    with pytest.raises(ConflictError, match="not lower"):
        add(site, now, replace(TEXT, version="0.9.0"))


def test_one_language_is_the_legal_one(site: Site, now: datetime):
    """Translations come after it and only inform."""
    german = replace(TEXT, language="de", text="Der ganze Text.\n")
    with pytest.raises(UsageError, match="no legal text"):
        add(site, now, replace(german, legal=False))
    add(site, now)
    with pytest.raises(ConflictError, match="legal"):
        add(site, now, german)

    add(site, now, replace(german, legal=False))

    with site.records.transaction() as session:
        assert agreements.legal_text(session, "dua", "1.0.0").language == "en"


def test_the_officer_decides_on_texts(site: Site, now: datetime):
    """An administrator does not."""
    with site.records.transaction() as session, pytest.raises(NotAllowedError):
        agreements.add_agreement(session, site.acting(Role.ADMINISTRATOR), TEXT, now=now)


def test_an_acceptance_leaves_a_receipt(site: Site, now: datetime):
    """Its digest is kept, so that it can be verified years later; one changed sign is noticed."""
    add(site, now)
    with site.records.transaction() as session:
        row = agreements.accept(session, reader(site), SIGNING, now=now)
        receipt = agreements.receipt(row)

        assert row.receipt_sha256 == hashlib.sha256(receipt.encode()).hexdigest()
        assert json.loads(receipt)["text_sha256"] == DIGEST
        assert agreements.acceptance_with_receipt(session, receipt + "\n") is row
        assert agreements.acceptance_with_receipt(session, receipt.replace("1.0", "2.0")) is None


# Each with one thing that is missing.
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clauses_ticked": ("credit",)}, "no-reidentification"),
        ({"typed_name": "Somebody Else"}, "name"),
        ({"typed_name": ""}, "name"),
        ({"text_sha256": "0" * 64}, "not the text on record"),
        ({"text_sha256": ""}, "not the text on record"),
    ],
)
def test_an_acceptance_is_whole_or_none(
    site: Site, now: datetime, change: dict[str, object], reason: str
):
    """Every clause that matters is ticked, the text is the one on record, the name one's own."""
    add(site, now)

    with site.records.transaction() as session, pytest.raises(UsageError, match=reason):
        agreements.accept(session, reader(site), replace(SIGNING, **change), now=now)


def test_a_text_of_the_future_is_not_accepted(site: Site, now: datetime):
    """The one in effect is."""
    add(site, now)
    add(site, now, replace(TEXT, version="2.0.0", effective_on=date(2026, 6, 1)))
    with site.records.transaction() as session:
        with pytest.raises(UsageError, match="not the one in effect"):
            agreements.accept(session, reader(site), replace(SIGNING, version="2.0.0"), now=now)
        agreements.accept(session, reader(site), SIGNING, now=now)


# What a new version does to an acceptance of 1.0.0, by the days after it came into effect.
@pytest.mark.parametrize(
    ("version", "days", "standing"),
    [
        ("2.0.0", -1, Standing.CURRENT),
        ("2.0.0", 0, Standing.OUTDATED),
        ("1.1.0", 0, Standing.NOTICE),
        ("1.1.0", 29, Standing.NOTICE),
        ("1.1.0", 30, Standing.OUTDATED),
        ("1.0.1", 100, Standing.CURRENT),
    ],
)
def test_new_versions_end_acceptances(
    site: Site, now: datetime, version: str, days: int, standing: Standing
):
    """A major change at once, a minor one after thirty days, a patch never."""
    add(site, now)
    with site.records.transaction() as session:
        row = agreements.accept(session, reader(site), SIGNING, now=now)
    day = datetime(2026, 6, 1, tzinfo=UTC)
    add(site, now, replace(TEXT, version=version, effective_on=day.date()))

    with site.records.transaction() as session:
        asked_at = day + timedelta(days=days)
        assert agreements.standing(session, row, asked_at) is standing
        counts = agreements.counting_acceptance(
            session, site.externals[0], "dua", "brains", asked_at
        )
        everybody = agreements.persons_who_accepted(session, "dua", "brains", asked_at)

    assert (counts is not None) == (standing in agreements.COUNTING)
    assert bool(everybody) == (counts is not None)


def test_an_acceptance_ends_after_a_year(site: Site, now: datetime):
    """And it is for one family of releases only."""
    add(site, now)
    with site.records.transaction() as session:
        row = agreements.accept(session, reader(site), SIGNING, now=now)
        year = timedelta(days=365)

        assert agreements.standing(session, row, now + year) is Standing.EXPIRED
        last = now + year - timedelta(seconds=1)
        assert agreements.standing(session, row, last) is Standing.CURRENT
        person = site.externals[0]
        assert agreements.counting_acceptance(session, person, "dua", "other", now) is None

"""Taking consent over from exports: a result a row, nothing half, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.builders.sharing import Site
from xnat_client.errors import BadInputError, NotAllowedError
from xnat_client.sharing.database.tables import AuditEntry, ConsentRecord, Participant
from xnat_client.sharing.records import consent, participants
from xnat_client.sharing.records.consent_columns import read_columns
from xnat_client.sharing.records.consent_import import (
    ImportResult,
    ImportRules,
    import_consent,
    read_export,
)
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level, Role

MAPPING = """
participant: record_id
date: signed
form: {value: open-brain}
version: {column: version, values: {"1": "2.0", "9": "9.9"}}
event:
  column: status
  values: {"1": given, "2": no-further-contact, "3": no-further-sharing, "4": delete-everything}
level:
  checkboxes: {sharing___1: members, sharing___2: external, sharing___3: open}
data_types:
  checkboxes: {data___1: imaging, data___2: genetics}
only_rows: {complete: "2"}
"""

HEAD = (
    "record_id,signed,version,status,sharing___1,sharing___2,sharing___3,data___1,data___2,complete"
)

Import = Callable[..., ImportResult]


@pytest.fixture
def take_over(site: Site, now: datetime, tmp_path: Path) -> Import:
    """Import rows (texts) into the site's study, by the mapping above unless another is given."""

    def run(
        *rows: str, mapping: str = MAPPING, head: str = HEAD, role: Role = Role.LEAD, **rules: bool
    ) -> ImportResult:
        (tmp_path / "map.yaml").write_text(mapping)
        (tmp_path / "export.csv").write_text("\n".join([head, *rows]) + "\n")
        columns = read_columns(tmp_path / "map.yaml")
        export = read_export(tmp_path / "export.csv", columns.needed())
        with site.records.transaction() as session:
            return import_consent(
                session, site.acting(role), site.study_pk, export, columns,
                ImportRules(**rules), now=now,
            )  # fmt: skip

    return run


def effective(site: Site, label: str) -> consent.Effective:
    with site.records.transaction() as session:
        number = participants.participant_of(session, site.study_pk, label).participant_pk
        return consent.effective(session, number)


def lines_on_record(site: Site) -> int:
    with site.records.transaction() as session:
        return session.scalars(sa.select(sa.func.count()).select_from(ConsentRecord)).one()


# Each row with what it says, worked out by hand from the mapping.
@pytest.mark.parametrize(
    ("cells", "level", "kinds"),
    [
        ("1,1,1,1,1,1,0", Level.OPEN, {DataType.IMAGING}),
        ("1,1,1,1,0,1,1", Level.EXTERNAL, {DataType.IMAGING, DataType.GENETICS}),
        ("1,1,1,0,0,1,0", Level.MEMBERS, {DataType.IMAGING}),
        ("1,1,0,0,0,0,0", Level.PRIVATE, set()),
        ("1,1,Checked,Unchecked,Unchecked,Checked,Unchecked", Level.MEMBERS, {DataType.IMAGING}),
    ],
)
def test_checkboxes_say_how_far_and_what(
    site: Site, take_over: Import, cells: str, level: Level, kinds: set[DataType]
):
    """The highest level ticked, with all below it, and the kinds ticked."""
    result = take_over(f"N1,2026-02-03,{cells},2")

    found = effective(site, "N1")
    assert result.counts["added"] == 1
    assert (found.level, found.data_types) == (level, kinds)


REFUSED = {
    "N1,2026-02-03,1,1,0,1,0,1,0,2": "contradiction",
    "N1,2026-02-03,1,1,1,0,0,0,0,2": "no kind of data",
    "N1,2026-02-03,1,1,1,,x,1,0,2": "neither 0 nor 1",
    "N1,2026-02-03,1,1,,,,1,0,2": "all empty",
    "N1,2026-02-03,1,,1,0,0,1,0,2": "'status' is empty",
    "N1,2026-02-03,1,7,1,0,0,1,0,2": "the mapping lacks",
    "N1,2026-02-03,7,1,1,0,0,1,0,2": "the mapping lacks",
    "N1,2026-02-03,9,1,1,0,0,1,0,2": "not on record",
    "N1,,1,1,1,0,0,1,0,2": "'signed' is empty",
    "N1,03/02/2026,1,1,1,0,0,1,0,2": "no date of its form",
    "N1,2026-02-30,1,1,1,0,0,1,0,2": "no date of its form",
    "N1,2026-05-05,1,1,1,0,0,1,0,2": "in the future",
    ",2026-02-03,1,1,1,0,0,1,0,2": "no label",
    "src001,2026-02-03,1,1,1,0,0,1,0,2": "capitals only",
    "N1,2026-02-03,1,1,1,0,0,1,0": "more or fewer cells",
    "N1,2026-02-03,1,1,1,0,0,1,0,2,9": "more or fewer cells",
}


def test_what_is_not_understood_is_refused(site: Site, take_over: Import):
    """Every doubtful row has its reason, which repeats no cell, and nothing is written."""
    for row, reason in REFUSED.items():
        result = take_over(row)

        assert result.counts["refused"] == 1, row
        assert reason in result.rows[0].reason
        assert "N1" not in result.rows[0].reason
    assert lines_on_record(site) == 2


def test_rows_that_differ_in_capitals_only_are_not_two_participants(take_over: Import):
    """The first stands; the other would be a second history of one person."""
    rows = ("N1,2026-02-03,1,1,1,0,0,1,0,2", "n1,2026-02-03,1,1,1,0,0,1,0,2")

    result = take_over(*rows, leave_refused=True)

    assert [one.outcome.value for one in result.rows] == ["added", "refused"]
    assert "capitals only" in result.rows[1].reason


def test_one_bad_row_holds_all_back(site: Site, take_over: Import):
    """Nothing is half imported."""
    result = take_over("N1,2026-02-03,1,1,1,0,0,1,0,2", "N2,,1,1,1,0,0,1,0,2")

    assert (result.counts["held back"], result.counts["refused"]) == (1, 1)
    assert lines_on_record(site) == 2
    with site.records.transaction() as session:
        assert session.scalars(sa.select(sa.func.count()).select_from(Participant)).one() == 2


def test_the_rest_may_be_taken_over(site: Site, take_over: Import):
    """Asked for, the rows that are right are taken over without the others."""
    rows = ("N1,2026-02-03,1,1,1,0,0,1,0,2", "N2,,1,1,1,0,0,1,0,2")

    result = take_over(*rows, leave_refused=True)

    assert (result.counts["added"], result.counts["refused"]) == (1, 1)
    assert effective(site, "N1").level is Level.MEMBERS


def test_a_dry_run_writes_nothing(site: Site, take_over: Import):
    """It says what would become of each row."""
    result = take_over("N1,2026-02-03,1,1,1,0,0,1,0,2", dry_run=True)

    assert result.counts["added"] == 1
    assert lines_on_record(site) == 2


def test_importing_again_changes_nothing(site: Site, take_over: Import):
    """Not a line, not an entry in the log."""
    rows = ("N1,2026-02-03,1,1,1,0,0,1,0,2", "N1,2026-03-03,1,3,,,,,,2")
    take_over(*rows)
    with site.records.transaction() as session:
        before = session.scalars(sa.select(sa.func.count()).select_from(AuditEntry)).one()

    again = take_over(*rows)

    assert again.counts["unchanged"] == 2
    assert lines_on_record(site) == 4
    with site.records.transaction() as session:
        assert session.scalars(sa.select(sa.func.count()).select_from(AuditEntry)).one() == before


def test_a_correction_is_a_new_line(site: Site, take_over: Import):
    """What a registry corrected counts, and what stood there before is still in the history."""
    take_over("N1,2026-02-03,1,1,1,1,0,1,0,2")

    take_over("N1,2026-02-03,1,1,1,0,0,1,0,2")

    assert effective(site, "N1").level is Level.MEMBERS
    with site.records.transaction() as session:
        number = participants.participant_of(session, site.study_pk, "N1").participant_pk
        levels = [one.highest_level for one in consent.history(session, number)]
    assert levels == [Level.EXTERNAL, Level.MEMBERS]


def test_an_old_export_does_not_open_again(site: Site, take_over: Import):
    """A level that was corrected downwards is not restored by the file of last year."""
    take_over("N1,2026-02-03,1,1,1,1,1,1,0,2", "N2,2026-02-03,1,1,1,0,0,1,0,2")
    take_over("N1,2026-02-03,1,1,1,0,0,1,0,2", "N2,2026-02-03,1,1,1,0,0,1,0,2")

    same_file = take_over("N1,2026-02-03,1,1,1,1,1,1,0,2", "N2,2026-02-03,1,1,1,0,0,1,0,2")
    other_file = take_over("N1,2026-02-03,1,1,1,1,1,1,0,2")

    assert same_file.counts["unchanged"] == 2
    assert "replaced" in other_file.rows[0].reason
    assert effective(site, "N1").level is Level.MEMBERS


def test_rows_that_contradict_each_other_are_refused(site: Site, take_over: Import):
    """Of two answers of one participant and day nobody knows which one counts."""
    result = take_over("N1,2026-02-03,1,1,1,1,1,1,0,2", "N1,2026-02-03,1,1,1,0,0,1,0,2")

    assert [one.outcome.value for one in result.rows] == ["held back", "refused"]
    assert lines_on_record(site) == 2


def test_the_same_row_twice_is_one_line(site: Site, take_over: Import):
    """A registry that repeats itself adds nothing."""
    row = "N1,2026-02-03,1,1,1,1,1,1,0,2"

    assert take_over(row, row).counts["unchanged"] == 1
    assert lines_on_record(site) == 3


def test_a_withdrawal_needs_no_ticks(site: Site, take_over: Import):
    """Who withdraws names no level; the result names the participant."""
    result = take_over("SRC001,2026-03-03,,3,,,,,,2")

    assert result.withdrawn == (site.participants[0],)
    assert effective(site, "SRC001").withdrawn is ConsentEvent.NO_FURTHER_SHARING


def test_other_rows_are_left_out(take_over: Import):
    """A form that is not complete is no consent."""
    result = take_over("N1,2026-02-03,1,1,1,1,1,1,0,0", "N1,,,,,,,,,")

    assert result.counts["left out"] == 2


def test_who_is_missing_is_counted(take_over: Import):
    """Being absent from a file is no withdrawal, but it is said."""
    assert take_over("SRC001,2026-02-03,1,1,1,1,1,1,0,2").not_in_file == 1


def test_unknown_participants_can_be_refused(take_over: Import):
    """With a list of participants on record, a new label is a slip."""
    result = take_over("N1,2026-02-03,1,1,1,1,1,1,0,2", only_known=True)

    assert "no participant" in result.rows[0].reason


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_separators_are_found(take_over: Import, delimiter: str):
    """Spreadsheets of many countries separate by semicolons."""
    row = "N1,2026-02-03,1,1,1,1,1,1,0,2".replace(",", delimiter)

    assert take_over(row, head=HEAD.replace(",", delimiter)).counts["added"] == 1


def test_a_coded_column_and_a_list(site: Site, take_over: Import):
    """Without checkboxes: one column for the level, one that lists the kinds."""
    mapping = """
participant: ID
date: Date
date_format: "%d.%m.%Y"
form: {column: Form}
version: {value: "2.0"}
level: {column: Sharing, values: {"nobody": private, "all": open}}
data_types: {column: Kinds, values: {"MRI": imaging, "Video": video}}
"""
    take_over('"N,1",31.01.2026,open-brain,all,MRI; Video', mapping=mapping,
              head="ID,Date,Form,Sharing,Kinds")  # fmt: skip

    found = effective(site, "N,1")
    assert (found.level, found.data_types) == (Level.OPEN, {DataType.IMAGING, DataType.VIDEO})


def test_readers_import_nothing(take_over: Import):
    """Who may not record a consent may not record many."""
    with pytest.raises(NotAllowedError):
        take_over("N1,2026-02-03,1,1,1,1,1,1,0,2", role=Role.STEWARD)


# Files that are no tables, or not those that the mapping speaks of.
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"record_id,other\nN1,1\n", "lacks the columns"),
        (b"", "lacks the columns"),
        ((HEAD + ",record_id\n").encode(), "twice"),
        ((HEAD + '\n"N1,2026-02-03\n').encode(), "quotation mark"),
        ((HEAD + "\nJos\xe9,1\n").encode("latin-1"), "UTF-8"),
        ((HEAD + "\n").encode("utf-16"), "UTF-8"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str):
    """The text says what is wrong with the file, not what is in it."""
    (tmp_path / "map.yaml").write_text(MAPPING)
    (tmp_path / "export.csv").write_bytes(content)
    columns = read_columns(tmp_path / "map.yaml")

    with pytest.raises(BadInputError, match=reason):
        read_export(tmp_path / "export.csv", columns.needed())


# Mappings with a slip: refused before any row is read.
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"1": given', "1: given", "between quotes"),
        ("sharing___3: open", "sharing___3: everybody", "something else"),
        ("date: signed", "date: signed\ndate_format: '%d/%m/%y'", "four digits"),
        ("date: signed", "date: signed\nday: signed", "unknown fields: day"),
        ("participant: record_id\n", "", "missing: participant"),
        ("date: signed", "date: signed\ndate: other", "twice"),
        ("data___1: imaging", "data___1: scans", "something else"),
        ('version: {column: version, values: {"1": "2.0", "9": "9.9"}}', "version: 2.0", "fields"),
        ("date: signed", "date: [", "not valid YAML"),
    ],
)
def test_mappings_with_a_slip_are_refused(tmp_path: Path, old: str, new: str, reason: str):
    """The text names the field."""
    assert old in MAPPING
    (tmp_path / "map.yaml").write_text(MAPPING.replace(old, new))

    with pytest.raises(BadInputError, match=reason):
        read_columns(tmp_path / "map.yaml")

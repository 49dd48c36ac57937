"""The records by the command line alone: a site from nothing, consent in, consent out."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from xnat_client.cli.main import run
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Person
from xnat_client.sharing.home import DATABASE_VARIABLE, HOME_VARIABLE, Home

ADMINISTRATOR = ("--person", "a1", "--role", "administrator", "--reason", "setting up")
OFFICER = ("--person", "o1", "--role", "officer", "--reason", "setting up")
LEAD = ("--person", "l1", "--role", "lead", "--reason", "from the registry")
LABEL = "SECRET-LABEL-7"

EXPORT = f"""record_id,redcap_event_name,consent_date,consent_version,consent_status,\
consent_sharing___1,consent_sharing___2,consent_sharing___3,\
consent_data___1,consent_data___2,consent_data___3,consent_complete
{LABEL},enrolment_arm_1,2026-01-31,1,1,1,1,1,1,1,0,2
OTHER-LABEL,enrolment_arm_1,2026-01-31,1,1,1,0,0,1,0,0,2
""".replace("\\\n", "")


def share(*arguments: str) -> int:
    return run(["share", *arguments])


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert share(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def make_site(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("Ad Min\nOf Ficer\n"))
        assert share("init", "--administrator", "a1", "--officer", "o1") == 0
    assert share("template", "--out", str(folder)) == 0
    server = ("server", "add", "inside", "http://inside.test", "--side", "inside")
    for arguments in (
        (*server, "--service-account", "releaser", *ADMINISTRATOR),
        ("person", "add", "l1", "--name", "Le Ad", *ADMINISTRATOR),
        ("study", "add", "SRC", "--server", "inside", "--lead", "l1", *ADMINISTRATOR),
        ("form", "add", str(folder / "consent-forms.yaml"), *OFFICER),
        ("form", "accept", "example-open-form", "2.0", *OFFICER),
    ):
        assert share(*arguments) == 0, arguments
    (folder / "export.csv").write_text(EXPORT)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site made by the command line: two first people, a lead, a study, forms, an export."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder / "home"))
        patch.delenv(DATABASE_VARIABLE, raising=False)
        make_site(folder)
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that site for one test."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    return tmp_path


def importing(made: Path, *options: str) -> tuple[str, ...]:
    mapping = str(made / "consent-columns.yaml")
    arguments = ("consent", "import", "SRC", str(made / "export.csv"), "--mapping", mapping)
    return (*arguments, *options, *LEAD)


def test_records_are_made_once(made: Path):
    """A second beginning would make a second first administrator."""
    del made
    first = ("--administrator", "x1", "--administrator-name", "X")
    assert share("init", *first, "--officer", "y1", "--officer-name", "Y") == 5


@pytest.mark.usefixtures("made")
def test_names_are_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Full names need not stand among arguments, which all users of a machine can see."""
    monkeypatch.setattr("sys.stdin", io.StringIO("An Other\n"))
    assert share("person", "add", "p9", *ADMINISTRATOR) == 0

    people = result(capsys, "person", "list")["people"]

    assert isinstance(people, list)
    names = {one["person"]: one["name"] for one in people}
    assert (names["a1"], names["o1"], names["p9"]) == ("Ad Min", "Of Ficer", "An Other")


@pytest.mark.usefixtures("made")
def test_no_name_at_all_is_refused(monkeypatch: pytest.MonkeyPatch):
    """An empty line is no name."""
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert share("person", "add", "p9", *ADMINISTRATOR) == 2


def test_one_person_is_not_both(home: Home, records: Database):
    """Who runs the site does not decide."""
    assert home.folder.is_dir()
    first = ("--administrator", "a1", "--administrator-name", "A")
    assert share("init", *first, "--officer", "a1", "--officer-name", "A") == 2
    with records.transaction() as session:
        assert session.scalars(sa.select(Person)).all() == []


def test_consent_from_a_file(made: Path, capsys: pytest.CaptureFixture[str]):
    """Imported, shown by number; the report has a line a row and no label."""
    report = made / "report.csv"

    done = result(capsys, *importing(made, "--report", str(report)))
    shown = result(capsys, "consent", "show", "SRC")

    assert done["counts"]["added"] == 2
    assert [one["level"] for one in shown["participants"]] == ["open", "members"]
    assert report.read_text().splitlines() == [
        "line,outcome,participant,event,reason",
        "2,added,1,given,",
        "3,added,2,given,",
    ]


def test_a_refused_row_is_bad_input(made: Path, capsys: pytest.CaptureFixture[str]):
    """The exit code says that the file is to be mended; nothing was taken over."""
    export = made / "export.csv"
    export.write_text(export.read_text().replace("2026-01-31,1,1,1,0,0", "someday,1,1,1,0,0"))

    assert share(*importing(made)) == 3
    text = capsys.readouterr().out
    assert "line 3: refused" in text
    assert LABEL not in text
    assert result(capsys, "consent", "show", "SRC")["participants"] == []


def test_a_withdrawal_by_label_from_standard_input(
    made: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """A label is read where nobody else sees it; the answer names the number."""
    share(*importing(made))
    monkeypatch.setattr("sys.stdin", io.StringIO(LABEL + "\n"))
    withdraw = ("consent", "withdraw", "SRC", "-", "no-further-sharing", *LEAD)

    done = result(capsys, *withdraw)
    shown = result(capsys, "consent", "show", "SRC")

    assert done["participant_pk"] == 1
    assert [one["why"] for one in shown["participants"]] == ["no-further-sharing", ""]
    assert (made / "home" / "withdrawals.jsonl").read_text().count("\n") == 1


def test_a_label_is_no_argument(made: Path, capsys: pytest.CaptureFixture[str]):
    """Other people can read arguments, so a label there is refused and not repeated."""
    share(*importing(made))
    capsys.readouterr()

    assert share("consent", "withdraw", "SRC", LABEL, "no-further-sharing", *LEAD) == 2
    assert LABEL not in capsys.readouterr().err


def test_labels_are_for_a_terminal_only(made: Path, capsys: pytest.CaptureFixture[str]):
    """They are not written to files or other programs."""
    share(*importing(made))
    capsys.readouterr()

    assert share("consent", "show", "SRC", "--labels") == 2
    assert LABEL not in capsys.readouterr().out


def test_no_output_names_a_participant(made: Path, capsys: pytest.CaptureFixture[str]):
    """Neither for people nor for machines, nor in the log."""
    capsys.readouterr()
    for arguments in (
        importing(made),
        importing(made, "--json"),
        ("consent", "show", "SRC", "--history", "1"),
        ("study", "show", "SRC"),
        ("person", "list"),
    ):
        assert share(*arguments) == 0
    assert run(["audit", "show", "--json"]) == 0

    written = capsys.readouterr()
    assert LABEL not in written.out + written.err


def test_an_agreement_is_accepted_by_digest_and_name(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Read, ticked, signed with one's name; the receipt is known here later."""
    share("agreement", "add", str(made / "agreement.md"), *OFFICER)
    share("person", "add", "e1", "--name", "Ex Ternal", *ADMINISTRATOR)
    share("person", "give", "e1", "external", *OFFICER)
    text = result(capsys, "agreement", "show", "data-use-agreement")
    ticks = [("--tick", one["id"]) for one in text["clauses"] if one["tick"]]
    acting = ("--person", "e1", "--role", "external", "--reason", "to use the data")
    accept = (
        "agreement", "accept", "data-use-agreement", "--text-sha256", str(text["sha256"]),
        "--family", "brains", *(word for tick in ticks for word in tick), *acting,
    )  # fmt: skip

    monkeypatch.setattr("sys.stdin", io.StringIO("ex ternal\n"))
    done = result(capsys, *accept)
    (made / "receipt.json").write_text(str(done["receipt"]))

    assert result(capsys, "agreement", "receipt", str(made / "receipt.json"))["issued"] is True
    (made / "receipt.json").write_text(str(done["receipt"]).replace("brains", "others"))
    assert share("agreement", "receipt", str(made / "receipt.json")) == 3


def test_without_records_the_way_to_them_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Nothing is made by merely looking."""
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    folder = tmp_path / "nothing"

    assert share("study", "list", "--home", str(folder)) == 2
    assert "share init" in capsys.readouterr().err
    assert not folder.exists()


def test_an_edited_text_is_not_overwritten(made: Path):
    """Writing templates again keeps what the officer made of them."""
    (made / "agreement.md").write_text("our own text")

    assert share("template", "agreement", "--out", str(made)) == 2
    assert (made / "agreement.md").read_text() == "our own text"


@pytest.mark.usefixtures("made")
def test_nothing_to_change_is_said(capsys: pytest.CaptureFixture[str]):
    """Without an option nothing is done and the exit code is that of wrong usage."""
    before = result(capsys, "study", "show", "SRC")

    assert share("study", "update", "SRC", *ADMINISTRATOR) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing to change" in said.err
    assert result(capsys, "study", "show", "SRC") == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "update", "SRC", "--ethics", "E-1", *ADMINISTRATOR),
        ("study", "lead", "SRC", "o2", *OFFICER),
        ("person", "standing", "l1", "inactive", *OFFICER),
        ("person", "account", "l1", "inside", "lead", *ADMINISTRATOR),
    ],
)
@pytest.mark.usefixtures("made")
def test_the_same_again_changes_nothing(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    """The second time it is said that it was so, and the audit log has no second line."""
    assert share("person", "add", "o2", "--name", "Of Two", *ADMINISTRATOR) == 0
    assert result(capsys, *arguments)["changed"] is True
    log = _log(capsys)

    assert result(capsys, *arguments)["changed"] is False
    assert _log(capsys) == log

    assert share(*arguments) == 0
    assert "already" in capsys.readouterr().out


def _log(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(["audit", "show", "--json"]) == 0
    return capsys.readouterr().out


def test_report_of_an_import_is_for_its_owner(made: Path):
    """The report says who consented to what; a place for it is found before anything changes."""
    report = made / "report.csv"
    assert share(*importing(made, "--report", str(made / "none" / "report.csv"))) == 3
    assert share("consent", "show", "SRC") == 0

    assert share(*importing(made, "--leave-refused", "--report", str(report))) == 0

    assert report.stat().st_mode & 0o777 == 0o600
    assert len(report.read_text().splitlines()) == 3

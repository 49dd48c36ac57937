"""The anonymisation language: what a script does to a file, and which scripts are refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from deploy.sandbox.dicom_edit import ScriptError, edit_file, read_script
from tests.builders.dicom_images import image

VARIABLES = {"project": "P1", "subject": "S1", "session": "E1"}


def _edited(script: str, content: bytes | None = None) -> Dataset:
    changed = edit_file(io.BytesIO(content or image()), read_script(script), VARIABLES)
    assert changed is not None
    return dcmread(io.BytesIO(changed))


def test_assignments_and_deletions():
    """Elements get the text or label that the script gives, or go; the image stays."""
    before = dcmread(io.BytesIO(image()))

    after = _edited(
        '// who\nversion "6.1"\n(0010,0010) := subject // the label\n(0010,0020) := session\n'
        '(0008,1030) := project\n(0032,4000) := "a // b"\n-(0010,0030)\n- (0018,1030)\n'
    )

    assert (after.PatientName, after.PatientID, after.StudyDescription) == ("S1", "E1", "P1")
    assert after.StudyComments == "a // b"
    assert "PatientBirthDate" not in after
    assert after.PixelData == before.PixelData
    assert after.SeriesDescription == before.SeriesDescription
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID


def test_private_elements_go_everywhere():
    """Private elements are removed at the top and inside sequences, standard ones stay."""
    dataset = dcmread(io.BytesIO(image()))
    dataset.private_block(0x0019, "MAKER", create=True).add_new(0x10, "LO", "planted")
    inner = Dataset()
    inner.private_block(0x0021, "MAKER", create=True).add_new(0x10, "LO", "planted")
    inner.CodeMeaning = "kept"
    dataset.ProcedureCodeSequence = [inner]
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert b"planted" in buffer.getvalue()
    buffer.seek(0)

    changed = edit_file(buffer, read_script("removeAllPrivateTags"), VARIABLES)

    assert changed is not None
    assert b"planted" not in changed
    assert dcmread(io.BytesIO(changed)).ProcedureCodeSequence[0].CodeMeaning == "kept"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('project != "Unassigned"', True),
        ('project = "Unassigned"', False),
        ('(0008,103E) = "t1 mprage"', True),
        ('(0008,103e) != "t1 mprage"', False),
        ('(0040,0275) = ""', True),
        ("subject = session", False),
    ],
)
def test_conditions(condition: str, holds: bool):  # noqa: FBT001 - a table's column
    """A statement behind a condition acts only where the condition holds."""
    after = _edited(f'{condition} ? (0010,0010) := "CHANGED"')

    assert (after.PatientName == "CHANGED") is holds


def test_reject_drops_the_file():
    """A rejected file is none; one that the condition does not concern is kept."""
    script = read_script('(0008,0060) = "MR" ? reject')

    assert edit_file(io.BytesIO(image()), script, VARIABLES) is None
    assert edit_file(io.BytesIO(image(Modality="CT")), script, VARIABLES) is not None


@pytest.mark.parametrize(
    "statement",
    [
        "(0010,0010) := hashUID[(0010,0010)]",
        "(0010,0010) := patient",
        "(0010,0010) := (0010,0020)",
        '(0010,0010) := "Grüße"',
        '(0010,0010) := "a\\"b"',
        '(0010,0010) := "open',
        '(0010,00X0) := "a"',
        '(0010,9999) := "a"',
        '(0019,1010) := "a"',
        '(0028,0010) := "4"',
        "-(0008,0018)",
        '(0020,000D) := "1.2"',
        "-(0002,0010)",
        "-(50XX,XXXX)",
        '(0040,0275)/(0010,0010) := "a"',
        'version "4.2"',
        'version "6.1" (0010,0010) := "a"',
        "removeAllPrivateTags[(0019,1010)]",
        "delete",
        '(0008,103E) ~ "a" ? reject',
        'project = "a" ? project = "b" ? nonsense',
    ],
)  # fmt: skip
def test_other_statements_are_refused_by_line(statement: str):
    """What is not understood is refused with its line's number, and without its text."""
    with pytest.raises(ScriptError, match=r"^Line 3 of the script: ") as refused:
        read_script(f'// one\nversion "6.1"\n{statement}\n-(0010,0010)')

    assert refused.value.line == 3
    assert "Grüße" not in str(refused.value)


@given(st.text(max_size=80))
def test_any_text_is_a_script_or_refused(text: str):
    """No text makes the reader fail in another way than by refusing it."""
    try:
        script = read_script(text)
    except ScriptError:
        return
    assert isinstance(script.statements, tuple)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\')))
def test_texts_arrive_as_they_are_written(text: str):
    """A text of printable ASCII characters is what the element holds then."""
    dataset = Dataset()

    assert read_script(f'(0008,103E) := "{text}"').apply(dataset, VARIABLES)

    assert dataset.SeriesDescription == text

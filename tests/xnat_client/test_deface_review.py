"""``winxnat deface review``: reports found and read, hostile ones refused, the page written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from xnat_client.cli.main import run


def _png() -> bytes:
    sink = io.BytesIO()
    Image.new("L", (20, 20), 90).save(sink, "PNG")
    return sink.getvalue()


def _report(folder: Path, **changes: object) -> Path:
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures/a.png").write_bytes(_png())
    image = {
        "image": "sub-01_T1w", "verdict": "Defaced.", "sha256": "a" * 64,
        "pictures": {"after-front": "pictures/a.png"},
        "gates": [{"name": "overlap", "value": 0.9, "limit": "at least 0.85", "is_passed": True}],
    }  # fmt: skip
    path = folder / "deface.json"
    path.write_text(json.dumps({"images": [image | changes]}), encoding="utf-8")
    return path


def _review(tmp_path: Path, *places: Path) -> int:
    return run(["deface", "review", *map(str, places), "--out", str(tmp_path / "page.html")])


def test_all_reports_below_a_folder_are_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs give two rows; the folders' names stand in the terminal and not on the page."""
    for name in ("first", "Mustermann"):
        _report(tmp_path / "results" / name / "report")
    assert _review(tmp_path, tmp_path / "results") == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<tr tabindex") == 2
    assert page.count("<img ") == 2
    assert "Mustermann" not in page
    assert "report 2: " in capsys.readouterr().out


def test_a_picture_elsewhere_is_not_taken(tmp_path: Path) -> None:
    """A report cannot make the page show another file of the disk."""
    (tmp_path / "secret.png").write_bytes(_png())
    _report(tmp_path / "a", pictures={"after-front": "../secret.png", "slices": "/etc/hostname"})
    assert _review(tmp_path, tmp_path / "a") == 0
    assert "<img " not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_names_in_a_report_cannot_become_markup(tmp_path: Path) -> None:
    """What a report says is text on the page."""
    _report(tmp_path / "a", image='"><script>alert(1)</script>', verdict='" onload="x')
    assert _review(tmp_path, tmp_path / "a") == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert 'onload="x"' not in page


def test_a_damaged_picture_is_said_to_be_so(tmp_path: Path) -> None:
    """A person must not take a missing picture for one without a face."""
    path = _report(tmp_path / "a")
    (path.parent / "pictures/a.png").write_bytes(_png()[:40])
    assert _review(tmp_path, tmp_path / "a") == 0
    assert "is damaged" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": '" onload="x'},
        {"sha256": "A" * 64},
        {"gates": []},
        {"gates": [{"name": "a", "value": 10**400, "limit": "0", "is_passed": True}]},
        {"gates": [[]]},
    ],
)
def test_a_report_that_no_run_wrote_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    """A digest that is none, a result that no gate judged, a figure out of all bounds."""
    assert _review(tmp_path, _report(tmp_path / "a", **changes)) == 3


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"images": [{}]}', "no JSON", ""])
def test_what_is_no_report_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence and exit code 3; no page."""
    (tmp_path / "deface.json").write_text(content, encoding="utf-8")
    assert _review(tmp_path, tmp_path / "deface.json") == 3
    assert "Report 1 cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_folder_without_reports_is_refused(tmp_path: Path) -> None:
    """Nothing to review is no success."""
    assert _review(tmp_path, tmp_path) == 3


def test_a_page_is_not_replaced_unasked(tmp_path: Path) -> None:
    """A page may hold decisions that are not saved yet."""
    _report(tmp_path / "a")
    assert _review(tmp_path, tmp_path / "a") == 0
    assert _review(tmp_path, tmp_path / "a") == 2

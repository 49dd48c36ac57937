"""The page of a review in a real browser: accessible, quiet, by keyboard, and what it saves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from qc.report.face_review import FaceImage, make_review_page
from xnat_client.faces.decisions import read_review


def _png(level: int) -> bytes:
    sink = io.BytesIO()
    Image.new("L", (120, 100), level).save(sink, "PNG")
    return sink.getvalue()


def _image(number: int, dice: float, *, is_passed: bool = True) -> FaceImage:
    pictures = {"after-front": _png(60), "before-front": _png(200), "slices": _png(90)}
    gates = [("overlap of brains (Dice)", dice, "at least 0.85", is_passed)]
    digest = f"{number:064x}" if is_passed else ""
    return FaceImage(number, f"sub-0{number}_T1w", "Defaced.", digest, gates, pictures)


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of four images, the third of which was withheld."""
    images = [_image(1, 0.97), _image(2, 0.88), _image(3, 0.41, is_passed=False), _image(4, 0.93)]
    path = tmp_path_factory.mktemp("review") / "review.html"
    path.write_text(make_review_page(images), encoding="utf-8")
    return path


def _opened(browser: Any, path: Path, *, bypass_csp: bool = False) -> Any:
    page = browser.new_context(bypass_csp=bypass_csp, accept_downloads=True).new_page()
    page.goto(path.as_uri())
    return page


def _order(page: Any) -> list[str]:
    names: list[str] = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(row => row.dataset.image)"
    )
    return [name[4:6] for name in names]


def test_axe_finds_no_violation(browser: Any, page_path: Path) -> None:
    """All rules of axe-core, in the page as the browser builds it."""
    found = Axe().run(_opened(browser, page_path, bypass_csp=True))
    assert found.violations_count == 0, found.generate_report()


def test_it_runs_under_its_own_policy_and_asks_for_nothing(browser: Any, page_path: Path) -> None:
    """The script runs though the policy forbids all others; no request, no message."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(page_path.as_uri())
    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert (outside, messages) == ([], [])
    assert "3 not decided" in page.text_content("#state")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_withheld_images_come_first_and_a_gate_sorts(browser: Any, page_path: Path) -> None:
    """The order is by verdict at first, then by the figures of the gate that is clicked."""
    page = _opened(browser, page_path)
    assert _order(page) == ["03", "01", "02", "04"]
    page.get_by_role("button", name="overlap of brains (Dice)").click()
    assert _order(page) == ["03", "02", "04", "01"]
    page.get_by_role("button", name="overlap of brains (Dice)").click()
    assert _order(page) == ["01", "04", "02", "03"]


def test_decisions_by_keyboard_are_saved(browser: Any, page_path: Path, tmp_path: Path) -> None:
    """Accept, reject with a reason, save: the file holds both, and the program reads it."""
    page = _opened(browser, page_path)
    page.locator("tbody tr").nth(1).focus()
    page.keyboard.press("a")
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.keyboard.type("a nose is left")
    page.keyboard.press("Enter")
    assert "1 accepted, 1 rejected, 1 not decided" in page.text_content("#state")
    page.get_by_label("Reviewer").fill("steward")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the decisions").click()
    path = tmp_path / "decisions.json"
    download.value.save_as(path)

    review = read_review(path)

    assert review.accepted == {f"{1:064x}"}
    assert review.rejected == {f"{2:064x}": "a nose is left"}
    assert json.loads(path.read_text(encoding="utf-8"))["reviewer"] == "steward"


def test_a_withheld_image_cannot_be_accepted(browser: Any, page_path: Path) -> None:
    """The key says so, and nothing is decided."""
    page = _opened(browser, page_path)
    page.locator("tbody tr").nth(0).focus()
    page.keyboard.press("a")
    assert "cannot be accepted" in page.text_content("#state")
    assert page.evaluate("document.querySelectorAll('tr[data-decision]').length") == 0


@pytest.mark.parametrize(
    ("reviewer", "said"), [("", "say who reviewed"), ("steward", "has no reason")]
)
def test_nothing_incomplete_is_saved(
    browser: Any, page_path: Path, reviewer: str, said: str
) -> None:
    """Without a reviewer, or a rejection without a reason, the page says what is missing."""
    page = _opened(browser, page_path)
    page.locator("tbody tr").nth(1).focus()
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    page.get_by_label("Reviewer").fill(reviewer)
    page.get_by_role("button", name="Save the decisions").click()
    assert said in page.text_content("#state")

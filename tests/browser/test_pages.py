"""The pages of the steps in a real browser: accessible by axe, quiet, usable by keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from containers.contract import StepInput
from containers.winqc.step import run
from qc import phantom
from qc.pool import read_record
from qc.report.group import Entry, make_group_page
from tests.builders.quality_images import write_nifti


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return pages by name: a run's, a head's, the session's, the group's."""
    root = tmp_path_factory.mktemp("pages")
    folder = root / "in" / "sub-01"
    series = phantom.bold_run(12, (32, 32, 12), noise=5.0)
    write_nifti(folder / "func" / "sub-01_task-rest_bold.nii.gz", series.astype(np.int16))
    write_nifti(folder / "func" / "image of somebody.nii.gz", series.astype(np.int16))
    for name in ("out", "scratch"):
        (root / name).mkdir()
    given = {"modality": "auto", "defaced": "unknown"}
    run(StepInput("winqc", root / "in", root / "out", root / "scratch", given))
    record = json.loads((root / "out" / "qc" / "sub-01_task-rest_desc-winqc_bold.json").read_text())
    thumbnail = (
        root / "out" / "qc" / "sub-01_task-rest_desc-winqc_bold_thumbnail.png"
    ).read_bytes()
    entries = []
    for number in range(25):
        changed = {**record, "tsnr": 50.0 + number % 5, "fd_mean": 3.0 if number == 4 else 0.1}
        entries.append(Entry(read_record(f"S{number}/bold", json.dumps(changed)), thumbnail))
    group = root / "group.html"
    group.write_text(make_group_page("P", entries).text, encoding="utf-8")
    return {
        "bold": root / "out" / "qc" / "sub-01_task-rest_desc-winqc_bold.html",
        "session": root / "out" / "report" / "report.html",
        "group": group,
    }


def _opened(browser: Any, path: Path, *, bypass_csp: bool = False) -> Any:
    page = browser.new_context(bypass_csp=bypass_csp).new_page()
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", ["bold", "session", "group"])
def test_axe_finds_no_violation(browser: Any, pages: dict[str, Path], name: str):
    """All rules of axe-core, in the page as the browser builds it."""
    page = _opened(browser, pages[name], bypass_csp=True)

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["bold", "session", "group"])
def test_a_page_asks_for_nothing_and_complains_of_nothing(
    browser: Any, pages: dict[str, Path], name: str
):
    """Under its own strict policy: one request, for itself, and no message."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))

    page.goto(pages[name].as_uri())

    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert (outside, messages) == ([], [])
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_keyboard_reaches_the_unusual_point_and_its_row(browser: Any, pages: dict[str, Path]):
    """Tab to the point, Enter: the address names the image's row, and the row is in sight."""
    page = _opened(browser, pages["group"])
    for _ in range(20):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        if label and label.startswith("S4/bold"):
            break

    page.keyboard.press("Enter")

    row = page.locator("tr:target")
    assert row.locator("th").inner_text() == "S4/bold"
    box = row.bounding_box()
    assert -1 < box["y"] < page.viewport_size["height"]


@pytest.mark.parametrize("name", ["bold", "session", "group"])
def test_a_narrow_window_scrolls_tables_and_pictures_and_never_the_page(
    browser: Any, pages: dict[str, Path], name: str
):
    """At 400 pixels nothing sticks out of the page."""
    with browser.new_context(viewport={"width": 400, "height": 800}) as context:
        page = context.new_page()
        page.goto(pages[name].as_uri())

        assert page.evaluate("document.documentElement.scrollWidth") == 400

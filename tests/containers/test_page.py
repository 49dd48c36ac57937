"""The page for people: what it holds, that it is closed, and that its pictures are upright."""

from __future__ import annotations

import base64
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from containers.contract import Accounted, StepReport
from containers.dicom_to_bids.page import Account, write_page
from deploy.demo_session import DemoSession
from tests.builders.bids_conversion import BOLD

BOLD_NAME = Path(BOLD).name + ".nii.gz"
PREFIX = "data:image/png;base64,"


class Page(HTMLParser):
    """Every tag with its attributes, and all text, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(converted: tuple[StepReport, Path]) -> Page:
    return Page((converted[1] / "report" / "report.html").read_text(encoding="utf-8"))


def picture(page: Page, name: str) -> NDArray[np.uint8]:
    """Return the pixels of the picture whose text names an image, checked as PNG demands."""
    (source,) = [
        str(tag["src"])
        for tag in page.all("img")
        if f"transverse slice of {name}" in str(tag["alt"])
    ]
    content = base64.b64decode(source.removeprefix(PREFIX), validate=True)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks = {}
    place = 8
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + 8 + size]
        (checksum,) = struct.unpack(">I", content[place + 8 + size : place + 12 + size])
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any(), "no line is filtered"
    return lines[:, 1:]


def test_page_names_every_scan_with_outcome_reason_and_files(
    page: Page, converted: tuple[StepReport, Path]
) -> None:
    """All that the account says of a scan can be read on the page."""
    for row in converted[0].accounted:
        assert row.subject in page.words
        assert not row.reason or any(row.reason in word for word in page.words)
        assert {Path(name).name for name in row.outputs} <= set(page.words)


def test_page_is_closed(page: Page) -> None:
    """No script, no form, no address: nothing on the page can load or send anything."""
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "iframe", "form", "a", "object", "embed", "base", "svg"}
    )
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset"):
            assert str(attributes.get(name) or PREFIX).startswith(PREFIX)
    policy = next(tag for tag in page.all("meta") if tag.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'")


def test_page_can_be_read_aloud(page: Page) -> None:
    """The page has a language and a title, each cell its header, each picture its words."""
    headers = page.all("th")

    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == 1
    assert sum(header["scope"] == "col" for header in headers) == 5 + 3
    assert sum(header["scope"] == "row" for header in headers) >= 6
    assert len(page.all("img")) == 3 * 6
    assert all(tag["alt"] and tag["width"] and tag["height"] for tag in page.all("img"))


def test_picture_is_the_middle_slice_front_up_left_on_the_left(
    page: Page, session: DemoSession
) -> None:
    """The picture of the functional series shows the planted voxels, no side exchanged."""
    # The planted axes grow to the left and to the back.
    planted = session.bold[::-1, :, session.bold.shape[2] // 2, 0].T.astype(float)

    found = picture(page, BOLD_NAME).astype(float)

    def likeness(other: NDArray[np.float64]) -> float:
        return float(np.corrcoef(found.ravel(), other.ravel())[0, 1])

    assert likeness(planted) > 0.98
    assert likeness(planted) > likeness(planted[:, ::-1])
    assert likeness(planted) > likeness(planted[::-1])


def test_text_cannot_become_markup(tmp_path: Path) -> None:
    """Angle brackets and quotes in sentences stay text."""
    hostile = "<script>alert('1')</script>\""
    row = Accounted(hostile, "failed", hostile)

    account = Account(rows=[row], summary=hostile, warnings=[hostile])

    write_page(tmp_path / "page.html", account)

    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert "".join(page.words).count("alert(") == 4


def test_page_gives_the_numbers_that_count(page: Page, session: DemoSession) -> None:
    """Number of scans by outcome, of files, and the validator's verdict stand on the page."""
    files = sum(path.is_file() for path in session.folder.rglob("*"))
    at = {label: page.words[page.words.index(label) - 1] for label in page.words[1:]}

    assert at["scans in the tree"] == "5"
    assert at["left out, with reason"] == "1"
    assert at["errors by the BIDS validator"] == "0"
    assert at["DICOM files, each accounted for"] == str(files)

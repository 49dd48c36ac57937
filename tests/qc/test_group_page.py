"""The group page: everything in it, nothing from elsewhere, usable without a mouse."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from PIL import Image

from qc.pool import CannotPoolError, read_record
from qc.ratings import Decision, Rating
from qc.report.group import Entry, make_group_page
from qc.report.strip import Point, draw_strip


class Reader(HTMLParser):
    """Collects what a browser would load, link to and show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and that it must be closed."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "link", "rect", "line", "circle"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Fail where a tag closes what it did not open."""
        assert self.open.pop() == tag


def png() -> bytes:
    sink = io.BytesIO()
    Image.new("L", (400, 300), 90).save(sink, "PNG")
    return sink.getvalue()


def entries(count: int = 24, name: str = "P{}/bold") -> list[Entry]:
    found = []
    for number in range(count):
        record = {
            "fd_mean": 0.2 + 0.01 * (number % 7),
            "tsnr": 1e9 if number == 1 else 60.0 + number % 5,
            "gsr_y": None,
            "bids_meta": {"modality": "bold"},
            "provenance": {
                "software": "winqc", "version": "1.0", "protocol_hash": "ab" * 8,
                "input_sha256": f"{number:064d}",
            },
        }  # fmt: skip
        if number == 3:
            record["fd_mean"] = 4.0
        found.append(
            Entry(read_record(name.format(number), json.dumps(record)), png(), f"{number}.html")
        )
    return found


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_nothing_is_loaded_from_elsewhere():
    """No script, and each source is inside the page."""
    page = make_group_page("P", entries())

    reader = read(page.text)

    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    sources = [attrs["src"] for _, attrs in reader.tags if "src" in attrs]
    assert len(sources) == 24
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page.text


def test_each_point_leads_to_the_row_of_its_image():
    """All points link; every target is there, once."""
    reader = read(make_group_page("P", entries()).text)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    links = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
    inner = [link[1:] for link in links if link and link.startswith("#")]

    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == 24
    assert set(inner) == set(ids)
    assert sum(tag == "circle" for tag, _ in reader.tags) == 48


def test_each_plot_has_its_table():
    """A table with one row an image beside each plot, and a name for those who cannot see it."""
    reader = read(make_group_page("P", entries()).text)

    plots = [attrs for tag, attrs in reader.tags if tag == "svg"]

    assert len(plots) == sum(tag == "details" for tag, _ in reader.tags) == 2
    assert plots[0]["aria-label"] == (
        "fd_mean (mm) of 24 images: from 0.2 to 4, median 0.225, 1 unusual"
    )


def test_a_few_images_are_a_table_and_no_plots():
    """Four points are no distribution; every value is in the table, with what is not known."""
    reader = read(make_group_page("P", entries(4)).text)

    assert not [tag for tag, _ in reader.tags if tag == "svg"]
    text = make_group_page("P", entries(4)).text
    assert '<th scope="row">fd_mean, mm</th><td class="number">0.2</td>' in text
    links = {attrs["href"] for tag, attrs in reader.tags if tag == "a"}
    assert {f"#{attrs['id']}" for _, attrs in reader.tags if "id" in attrs} <= links


@pytest.mark.parametrize(
    ("values", "ends"),
    [((22010.0, 22011.0), ("22010", "22011")), ((5.0, 5.0), ("4.5", "5.5")),
     ((0.0, 0.0), ("-1", "1")), ((0.1, 40.0), ("0.1", "40"))],
)  # fmt: skip
def test_the_ends_of_an_axis_are_told_apart(values: tuple[float, float], ends: tuple[str, str]):
    """Large values that are near to each other, and equal ones."""
    points = [Point(value, f"a{index}", "x", unusual=False) for index, value in enumerate(values)]

    drawn = draw_strip("fber", "", points, None)

    assert re.findall(r"<text[^>]*>([^<]*)</text>", drawn) == list(ends)


def test_only_unusual_points_are_stops_of_the_keyboard():
    """The table holds the others: a thousand stops would be none."""
    reader = read(make_group_page("P", entries()).text)

    stops = [
        attrs["aria-label"]
        for tag, attrs in reader.tags
        if tag == "a" and "aria-label" in attrs and "tabindex" not in attrs
    ]

    assert stops == ["P3/bold: 4"]


def test_names_cannot_break_out_of_the_page():
    """Names come from files: they are text, wherever they stand."""
    hostile = '"><script>alert(1)</script>{}'

    page = make_group_page(hostile.format(""), entries(name=hostile))

    assert "<script" not in page.text
    read(page.text)


def test_people_and_software_stand_side_by_side():
    """A rating does not change a verdict."""
    rated = Rating("P3/bold", "", "rater", Decision.ACCEPT, "", datetime(2026, 3, 1, tzinfo=UTC))

    page = make_group_page("P", entries(), [rated])

    (verdicts,) = page.judgements.values()
    assert verdicts["P3/bold"].verdict == "review"
    assert "rater: accept" in page.text


def test_a_rating_of_another_file_says_so():
    """The image was measured anew from other bytes: the decision may not hold for them."""
    when = datetime(2026, 3, 1, tzinfo=UTC)
    rated = [
        Rating("P3/bold", f"{3:064d}", "one", Decision.ACCEPT, "", when),
        Rating("P4/bold", "f" * 64, "two", Decision.ACCEPT, "", when),
    ]

    page = make_group_page("P", entries(), rated)

    assert "<td>one: accept.</td>" in page.text
    assert "<td>two: accept. (said of another file with this name)</td>" in page.text


def test_two_images_of_one_name_are_refused():
    """They would share a row, a picture and ratings."""
    with pytest.raises(CannotPoolError):
        make_group_page("P", [*entries(2), *entries(1)])


def test_other_software_gets_a_chapter_of_its_own():
    """Never one plot for both."""
    other = {
        "fd_mean": 0.2,
        "bids_meta": {"modality": "bold"},
        "provenance": {"software": "mriqc", "version": "24.0.2"},
    }

    page = make_group_page("P", [*entries(), Entry(read_record("P0/bold", json.dumps(other)))])

    assert list(page.judgements) == [
        "bold, measured by MRIQC 24",
        "bold, measured by winqc 1",
    ]


@pytest.mark.parametrize("count", [0, 1, 19])
def test_few_images_have_a_page_too(count: int):
    """None of them passes: there is no norm yet."""
    page = make_group_page("P", entries(count))

    assert all(
        each.verdict == "review" for table in page.judgements.values() for each in table.values()
    )
    read(page.text)

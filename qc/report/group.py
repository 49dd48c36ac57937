"""Writes the quality of many images as one HTML page: distributions, unusual images, pictures.

Works from a disk without a network and without scripts; every plot has its table beside it, every
point leads to the image's row and picture. Not here: norms and verdicts, which it only shows.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image as Picture

from qc.definitions import definition_of
from qc.norms import FEWEST_IMAGES, Stratum, strata
from qc.pool import Row, Table, split
from qc.ratings import Rating, latest_ratings
from qc.report.page import RECORDINGS, head, picture
from qc.report.strip import Point, draw_strip
from qc.verdicts import FARTHEST, ComparedMeasure, Judgement, Verdict, compare

_THUMBNAIL_PIXELS = 160
_FEWEST_FOR_PLOTS = 5
_STYLE = """\
<style>
svg{display:block;width:100%;max-width:45rem;height:auto}
svg text{font-size:12px;fill:#1b1b1b}
.point{fill:#1f5fa8;stroke:#fff;stroke-width:.8}
.unusual{fill:#b3261e;stroke:#1b1b1b;stroke-width:1.6}
.band{fill:#e3ebf5}.median,.axis{stroke:#1b1b1b}
a:focus .point,a:hover .point{stroke:#1b1b1b;stroke-width:3}
a:focus-visible{outline:3px solid #1b1b1b}
tr:target{background:#fff6e5;outline:3px solid #8a5a00}
.review{font-weight:700}
figure{margin:1.5rem 0}figcaption{font-weight:700}
td img{width:10rem}
@media (max-width:45rem){svg text{font-size:20px}.point{r:7px}}
</style>
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the page.

    Attributes
    ----------
    row : Row
        Its measures.
    thumbnail : bytes or None
        A PNG of any size.
    page : str
        Address of its own page, relative to this one; empty if there is none.
    """

    row: Row
    thumbnail: bytes | None = None
    page: str = ""


@dataclass(frozen=True, slots=True)
class GroupPage:
    """The page, and what it says, for machines.

    Attributes
    ----------
    text : str
        HTML.
    judgements : dict
        Verdict and reasons by the image's name, for each kind of record apart:
        ``{title of the table: {name: Judgement}}``.
    """

    text: str
    judgements: Mapping[str, Mapping[str, Judgement]] = field(default_factory=dict)


def make_group_page(
    title: str, entries: Sequence[Entry], ratings: Sequence[Rating] = ()
) -> GroupPage:
    """Return the page of many images.

    Parameters
    ----------
    title : str
        A name without identity, for example the project's.
    entries : Sequence of Entry
        Images of any kinds; kinds that may not be pooled come in chapters of their own.
    ratings : Sequence of Rating
        What people decided; shown beside the software's verdict, never mixed with it.

    Raises
    ------
    CannotPoolError
        Two entries of one kind have one name.
    """
    by_row = {(entry.row.kind, entry.row.name): entry for entry in entries}
    by_image = latest_ratings(ratings)
    parts = [head(f"{title}: image quality of the group").replace("</head>", f"{_STYLE}</head>")]
    parts.append(
        '<p class="notice">A verdict is "pass" or "review", by comparison with the images of the '
        f"same protocol (from {FEWEST_IMAGES} images on; unusual is beyond {FARTHEST} robust "
        "standard deviations on the bad side). It excludes nothing: people decide. Values of "
        "different software or protocols are never compared. Pictures of images that are not "
        "defaced may show a face: keep this page where the images themselves may be seen.</p>\n"
    )
    judgements: dict[str, dict[str, Judgement]] = {}
    for number, table in enumerate(split(entry.row for entry in entries)):
        parts.append(f"<h2>{html.escape(table.title)}</h2>\n")
        chapter, found = _chapter(f"t{number}", table, by_row, by_image)
        parts.append(chapter)
        judgements[table.title] = found
    if not entries:
        parts.append("<p>There is no record of an image.</p>\n")
    parts.append("</main>\n</body>\n</html>\n")
    return GroupPage("".join(parts), judgements)


def _chapter(
    prefix: str,
    table: Table,
    entries: Mapping[tuple[tuple[str, str, str, str], str], Entry],
    ratings: Mapping[str, Sequence[Rating]],
) -> tuple[str, dict[str, Judgement]]:
    parts, found = [], {}
    for number, stratum in enumerate(strata(table)):
        anchors = {row.name: f"{prefix}p{number}i{index}" for index, row in enumerate(stratum.rows)}
        compared = compare(stratum)
        judged = dict(zip(anchors, compared.judgements, strict=True))
        found.update(judged)
        review = sum(each.verdict is Verdict.REVIEW for each in judged.values())
        norm = "" if stratum.has_norm else " No norm yet."
        count = len(stratum.rows)
        parts.append(
            f"<h3>Protocol {stratum.protocol[:8]}, {_defaced(stratum)}</h3>\n"
            f"<p>{count} {'image' if count == 1 else 'images'}, {review} to review.{norm}</p>\n"
        )
        if count < _FEWEST_FOR_PLOTS:
            parts.append(_small_table(compared.measures, anchors, stratum.protocol[:8]))
        else:
            parts += [_figure(measure, anchors) for measure in compared.measures]
        rows = "".join(
            _image_row(
                entries[table.kind, row.name],
                judged[row.name],
                anchors[row.name],
                ratings.get(row.name, ()),
            )
            for row in sorted(
                stratum.rows,
                key=lambda row: (judged[row.name].verdict is Verdict.PASS, row.name),
            )
        )
        parts.append(
            f'<div class="wide" role="region" tabindex="0" aria-label="Images of protocol '
            f'{stratum.protocol[:8]}, {_defaced(stratum)}">\n'
            '<table>\n<thead><tr><th scope="col">Image</th>'
            '<th scope="col">Verdict</th><th scope="col">Reasons</th><th scope="col">People</th>'
            f'<th scope="col">Picture</th></tr></thead>\n<tbody>\n{rows}</tbody>\n'
            "</table>\n</div>\n"
        )
    return "".join(parts), found


def _small_table(
    measures: Sequence[ComparedMeasure], anchors: Mapping[str, str], protocol: str
) -> str:
    """Return all measures of a few images side by side: there is no distribution to draw."""
    names = "".join(
        f'<th scope="col"><a href="#{anchor}">{html.escape(name)}</a></th>'
        for name, anchor in anchors.items()
    )
    rows = []
    for measure in measures:
        about = definition_of(measure.name)
        unit = f", {about.unit}" if about.unit else ""
        cells = "".join(
            f'<td class="number">{"not known" if value is None else f"{value:.5g}"}</td>'
            for value in measure.values
        )
        rows.append(
            f'<tr><th scope="row">{html.escape(measure.name + unit)}</th>{cells}'
            f'<td class="text">{html.escape(about.meaning)}</td></tr>\n'
        )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="Values of protocol {protocol}">'
        f'\n<table>\n<thead><tr><th scope="col">Measure</th>{names}<th scope="col">Meaning</th>'
        f"</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table>\n</div>\n"
    )


def _figure(measure: ComparedMeasure, anchors: Mapping[str, str]) -> str:
    """Return the plot and table of a measure; ``anchors`` by name, in the order of the rows."""
    about = definition_of(measure.name)
    points = [
        Point(value, anchor, name, reason is not None)
        for (name, anchor), value, reason in zip(
            anchors.items(), measure.values, measure.reasons, strict=True
        )
        if value is not None
    ]
    missing = len(anchors) - len(points)
    unit = f", {about.unit}" if about.unit else ""
    lacking = f" {missing} images have no value." if missing else ""
    rows = "".join(
        f'<tr><th scope="row"><a href="#{point.anchor}">{html.escape(point.name)}</a></th>'
        f'<td class="number">{point.value:.5g}</td><td>{"unusual" if point.unusual else ""}</td>'
        "</tr>\n"
        for point in sorted(points, key=lambda each: (each.value, each.name))
    )
    return (
        f"<figure>\n<figcaption>{html.escape(measure.name)}{html.escape(unit)}</figcaption>\n"
        f"<p>{html.escape(about.meaning)}.{lacking}</p>\n"
        f"{draw_strip(measure.name, about.unit, points, measure.norm)}"
        f"<details><summary>{html.escape(measure.name)} as a table</summary>\n<table>\n<thead><tr>"
        '<th scope="col">Image</th><th scope="col">Value</th><th scope="col">Remark</th></tr>'
        f"</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</details>\n</figure>\n"
    )


def _image_row(entry: Entry, judgement: Judgement, anchor: str, ratings: Sequence[Rating]) -> str:
    name = html.escape(entry.row.name)
    link = f'<a href="{html.escape(entry.page)}">{name}</a>' if entry.page else name
    reasons = "<br>".join(html.escape(reason) for reason in judgement.reasons)
    people = "<br>".join(html.escape(_told(each, entry.row)) for each in ratings)
    shown = (
        picture(_shrunk(entry.thumbnail), f"Middle slice of {entry.row.name}")
        if entry.thumbnail
        else "no picture"
    )
    return (
        f'<tr id="{anchor}"><th scope="row">{link}</th>'
        f'<td class="{judgement.verdict.value}">{judgement.verdict.value}</td>'
        f'<td class="text">{reasons}</td><td>{people or "not rated"}</td><td>{shown}</td></tr>\n'
    )


def _told(rating: Rating, row: Row) -> str:
    text = f"{rating.rater}: {rating.decision.value}. {rating.reason}".strip()
    known = rating.input_sha256 and row.input_sha256
    other = known and rating.input_sha256 != row.input_sha256
    return f"{text} (said of another file with this name)" if other else text


def _shrunk(png: bytes) -> bytes:
    """Return a small grey PNG: a page of a thousand images must still open."""
    with Picture.open(io.BytesIO(png)) as opened:
        small = opened.convert("L")
        small.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        sink = io.BytesIO()
        small.quantize(32).save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _defaced(stratum: Stratum) -> str:
    if stratum.rows[0].modality in RECORDINGS:
        return "recordings"
    words = {True: "defaced", False: "not defaced", None: "not known whether defaced"}
    return words[stratum.defaced]

"""Writes a batch of defaced images as one HTML page on which a person accepts or rejects each.

Opens from a disk without a network; its one script is named by its digest in the page's policy.
The page shows faces. Not here: reading reports, and what follows from a decision.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

DECISIONS_FORMAT = "winxnat-deface-decisions"
DECISIONS_VERSION = 1
_WIDTH_PIXELS = 150
_VIEWS = (
    ("after-front", "after, from the front"),
    ("after-left", "after, half from the left"),
    ("after-right", "after, half from the right"),
    ("after-side", "after, from the side"),
    ("before-front", "before, from the front"),
    ("slices", "slices, what goes is red"),
)
_STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:1rem auto;max-width:100rem;padding:0 1rem}
.notice{border-left:6px solid #8a5a00;padding:.5rem 1rem;background:#fff6e5}
.bar{position:sticky;top:0;background:#fff;border-bottom:2px solid #1b1b1b;padding:.5rem 0;
display:flex;flex-wrap:wrap;gap:1rem;align-items:center;z-index:1}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.35rem .5rem;text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}
thead button{font:inherit;font-size:.8rem;text-align:left;font-weight:700;background:none;
border:1px solid #555;cursor:pointer}
thead th[aria-sort=ascending] button::after{content:" \\2191"}
thead th[aria-sort=descending] button::after{content:" \\2193"}
.pictures{display:flex;flex-wrap:wrap;gap:.2rem;min-width:31rem}
td+td+th+td{min-width:14rem}
img{background:#000;height:8rem;width:auto}
fieldset{border:1px solid #555;min-width:14rem}
input[type=text]{font:inherit;width:95%}
tr:focus-within,tr:focus{background:#eef4fb;outline:3px solid #1f5fa8}
tr[data-decision=reject]{background:#fbeaea}tr[data-decision=accept]{background:#e9f6ee}
.bad{color:#8f1010;font-weight:bold}
kbd{border:1px solid #555;border-radius:3px;padding:0 .3em}
"""


@dataclass(frozen=True, slots=True)
class FaceImage:
    """One image of a run of ``deface``.

    Attributes
    ----------
    report : int
        Which report it is from, counted from 1: paths may hold names.
    name : str
        As the report calls it.
    verdict : str
        The run's own sentence.
    sha256 : str
        Of the result that was handed on; empty where nothing was.
    gates : sequence of (str, float, str, bool)
        Name, figure, limit, and whether it was passed.
    pictures : mapping of str to bytes
        PNG by moment and view, such as ``after-front``.
    """

    report: int
    name: str
    verdict: str
    sha256: str
    gates: Sequence[tuple[str, float, str, bool]]
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """Return the names of the gates that were not passed."""
        return [name for name, _, _, is_passed in self.gates if not is_passed]


def make_review_page(images: Iterable[FaceImage]) -> str:
    """Return the page; images that failed a gate come first, then by report and name."""
    shown = sorted(images, key=lambda each: (not each.failed, each.report, each.name))
    gates = list(dict.fromkeys(name for each in shown for name, _, _, _ in each.gates))
    script = files("qc.report").joinpath("face_review.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rows = "".join(_row(number, each, gates) for number, each in enumerate(shown))
    columns = "".join(_column(name) for name in ("Image", "Verdict", *gates))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Review of defacing</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        f'<body data-format="{DECISIONS_FORMAT}" data-version="{DECISIONS_VERSION}">\n<main>\n'
        "<h1>Review of defacing</h1>\n"
        '<p class="notice"><strong>This page shows faces.</strong> Keep it with the restricted '
        "source. A rejected image can never be shared; accepting cannot lift the verdict of a "
        "gate: what was withheld stays withheld.</p>\n"
        "<noscript><p>Sorting and deciding need JavaScript, which this browser does not run."
        "</p></noscript>\n"
        f"<p>{len(shown)} images. Move through the rows with <kbd>j</kbd> and <kbd>k</kbd> or "
        "Tab; in a row <kbd>a</kbd> accepts, <kbd>r</kbd> rejects and asks for the reason, "
        "<kbd>u</kbd> takes it back.</p>\n"
        '<div class="bar"><label>Reviewer <input type="text" id="reviewer" autocomplete="off" '
        'maxlength="80"></label>\n'
        '<button type="button" id="export">Save the decisions</button>\n'
        '<span id="state" role="status"></span></div>\n'
        '<div class="wide" role="region" tabindex="0" aria-label="Images">\n'
        f'<table id="images">\n<thead><tr><th scope="col">Pictures</th>'
        f'<th scope="col">Decision</th>{columns}</tr></thead>\n<tbody>\n{rows}</tbody>\n'
        f"</table>\n</div>\n</main>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _column(name: str) -> str:
    return (
        f'<th scope="col" aria-sort="none"><button type="button">{html.escape(name)}</button></th>'
    )


def _row(number: int, image: FaceImage, gates: Sequence[str]) -> str:
    name = f"report {image.report}, {image.name}"
    found = {gate: (value, limit, is_passed) for gate, value, limit, is_passed in image.gates}
    cells = "".join(_gate_cell(found.get(gate)) for gate in gates)
    pictures = "".join(
        _picture(image.pictures[key], f"{name}: {words}")
        for key, words in _VIEWS
        if key in image.pictures
    )
    verdict = "withheld" if image.failed else "passed"
    kind = ' class="bad"' if image.failed else ""
    return (
        f'<tr tabindex="0" id="row{number}" data-sha256="{html.escape(image.sha256)}" '
        f'data-image="{html.escape(image.name)}" data-report="{image.report}" '
        f'data-withheld="{"yes" if image.failed or not image.sha256 else "no"}">'
        f'<td><div class="pictures">{pictures or "no picture"}</div></td>\n'
        f"<td>{_choices(number, name, image)}</td>\n"
        f'<th scope="row" data-key="{html.escape(name)}">{html.escape(name)}</th>'
        f'<td data-key="{verdict}"><strong{kind}>{verdict}</strong><br>'
        f"{html.escape(image.verdict)}</td>{cells}</tr>\n"
    )


def _choices(number: int, name: str, image: FaceImage) -> str:
    if not image.sha256:
        return "Nothing was handed on, so there is nothing to decide."
    withheld = bool(image.failed)
    accept = (
        "<p>It cannot be accepted: a gate was not passed.</p>"
        if withheld
        else f'<label><input type="radio" name="d{number}" value="accept"> accept</label><br>'
    )
    return (
        f"<fieldset><legend>{html.escape(name)}</legend>{accept}"
        f'<label><input type="radio" name="d{number}" value="reject"> reject</label><br>'
        f'<label><input type="radio" name="d{number}" value="" checked> not decided</label><br>'
        f'<label>Reason <input type="text" id="reason{number}" maxlength="200" '
        'autocomplete="off"></label></fieldset>'
    )


def _gate_cell(found: tuple[float, str, bool] | None) -> str:
    if found is None:
        return '<td data-key="">not judged</td>'
    value, limit, is_passed = found
    mark = "" if is_passed else ' <strong class="bad">NOT passed</strong>'
    return (
        f'<td class="number" data-key="{value:.6g}">{value:.4g}{mark}<br>{html.escape(limit)}</td>'
    )


def _picture(png: bytes, description: str) -> str:
    from PIL import Image as Picture  # noqa: PLC0415 - decisions are read where Pillow is not

    sink = io.BytesIO()
    try:
        with Picture.open(io.BytesIO(png)) as opened:
            small = opened.convert("RGB")
            small.thumbnail((2 * _WIDTH_PIXELS, _WIDTH_PIXELS))
            small.quantize(64).save(sink, "PNG", optimize=True)
    except (OSError, ValueError, SyntaxError, Picture.DecompressionBombError):
        return f'<strong class="bad">The picture {html.escape(description)} is damaged.</strong>'
    data = base64.b64encode(sink.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{data}">'

"""Writes the account of a session as one HTML page that opens anywhere, without a network.

No scripts, no links, nothing from elsewhere; a strict content policy in the page holds it to
that. The same session gives the same bytes, so there is no date. Not here: the account itself
(``report``), and how pictures are drawn (``pictures``).
"""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from containers.contract import Accounted
from containers.dicom_to_bids.classify.decision import Confidence, Decision
from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.validate import Verdict

PAGE_FILE_NAME = "report.html"
_OUTCOMES = {"done": "in the tree", "left-out": "left out", "failed": "failed"}
_CONFIDENCE = {
    Confidence.GIVEN: "given by the map or the name",
    Confidence.NAMED: "named by the scanner",
    Confidence.MEASURED: "seen from the measurement",
    Confidence.GUESSED: "guessed: please look",
}
_MANY_WARNINGS = 8
_STYLE = """\
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:1.5rem auto;max-width:86rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .6rem}h2{font-size:1.15rem;margin:1.6rem 0 .4rem}
.tiles{display:flex;flex-wrap:wrap;gap:.7rem;padding:0;margin:1rem 0;list-style:none}
.tiles li{border:1px solid #bbb;border-left:6px solid #777;border-radius:4px;
padding:.45rem .9rem;min-width:8.5rem}
.tiles b{display:block;font-size:1.5rem;line-height:1.2}
.tiles .good{border-left-color:#05712a}.tiles .note{border-left-color:#a06f00}
.tiles .bad{border-left-color:#a01212;background:#fff3f3}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #bbb;padding:.5rem .6rem;text-align:left;vertical-align:top}
thead th{border-top:0;background:#f1f1f1}
tbody th{font-size:1.1rem}
td ul{margin:0;padding:0;list-style:none}
td li+li{margin-top:.35rem}
.name{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.86rem;
overflow-wrap:anywhere}
.why{color:#444;font-size:.9rem}
td:nth-child(4){min-width:19rem}.wide{overflow-x:auto}
.badge{display:inline-block;border-radius:3px;padding:.05rem .5rem;color:#fff;white-space:nowrap}
.badge.done{background:#05612a}.badge.left-out{background:#6b4e00}.badge.failed{background:#8f1010}
.guessed{color:#8a4b00;font-weight:bold}
figure{margin:0 0 .5rem;display:flex;gap:.35rem;align-items:flex-end;background:#000;
padding:.3rem;width:max-content;border-radius:3px}
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the tree: its path below the root, and where its voxels are."""

    name: str
    image: Converted


@dataclass(frozen=True, slots=True)
class Account:
    """All that the page shows.

    Attributes
    ----------
    rows : Sequence[Accounted]
        All scans.
    pictures : Mapping[str, str]
        What `figures` returns: each is shown beside its scan.
    summary, warnings
        Sentences without identity.
    verdict : Verdict or None
        What the official validator said.
    decisions : Mapping[str, Sequence[Decision]]
        By scan: what its images were taken for, and why.
    file_counts : Mapping[str, int]
        By scan: the DICOM files that went in.
    other_file_count : int
        Files beside them that are no images.
    """

    rows: Sequence[Accounted]
    summary: str
    pictures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: Sequence[str] = ()
    verdict: Verdict | None = None
    decisions: Mapping[str, Sequence[Decision]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    file_counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    other_file_count: int = 0


def figures(pictures: Sequence[Picture]) -> Mapping[str, str]:
    """Draw images of the tree; return the figures as HTML, by the images' paths."""
    return {picture.name: _figure(picture) for picture in pictures}


def write_page(path: Path, account: Account) -> None:
    """Write the page to ``path``."""
    pictures = dict(account.pictures)
    body = "".join(_row(row, account, pictures) for row in account.rows)
    counts = Counter(row.outcome for row in account.rows)
    counted = ", ".join(f"{counts[key]} {text}" for key, text in _OUTCOMES.items())
    path.write_text(
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>DICOM to BIDS: {html.escape(counted)}</title>\n"
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>DICOM to BIDS</h1>\n<p>{html.escape(account.summary)}</p>\n"
        f"{_tiles(account, counts)}{_to_look_at(account.warnings)}"
        "<h2>Scans</h2>\n<p>What became of each scan, and why. Pictures: the middle slices of the "
        "first volume, the patient's left on the left. They may show the outline of a face, as "
        "the images themselves do.</p>\n"
        # A wide table is scrolled in its own frame, also by the keyboard.
        '<div class="wide" role="region" aria-label="Scans" tabindex="0">\n<table>\n'
        '<thead><tr><th scope="col">Scan</th><th scope="col">Outcome</th>'
        '<th scope="col">What and why</th><th scope="col">Files</th>'
        '<th scope="col">Pictures</th>'
        f"</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        f"{_verdict(account.verdict)}</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _tiles(account: Account, counts: Counter[str]) -> str:
    tiles = [
        ("good" if counts["done"] else "bad", counts["done"], "scans in the tree"),
        ("note" if counts["left-out"] else "", counts["left-out"], "left out, with reason"),
        ("bad" if counts["failed"] else "good", counts["failed"], "failed"),
    ]
    if account.verdict is not None:
        errors = sum(account.verdict.errors.values())
        tiles.append(("bad" if errors else "good", errors, "errors by the BIDS validator"))
    if account.file_counts:
        tiles.append(("", sum(account.file_counts.values()), "DICOM files, each accounted for"))
    if account.other_file_count:
        tiles.append(("note", account.other_file_count, "other files, not read"))
    listed = "".join(
        f'<li class="{kind}"><b>{number}</b>{html.escape(text)}</li>'
        for kind, number, text in tiles
    )
    return f'<ul class="tiles">{listed}</ul>\n'


def _to_look_at(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{html.escape(each)}</li>" for each in warnings)
    is_long = len(warnings) > _MANY_WARNINGS
    listed = f"<ul>{items}</ul>\n"
    if is_long:
        listed = f"<details><summary>{len(warnings)} remarks</summary>\n{listed}</details>\n"
    return f"<h2>To look at</h2>\n{listed}"


def _row(row: Accounted, account: Account, pictures: dict[str, str]) -> str:
    """Return a line of the table; it takes its pictures out, so that each is shown once."""
    names = (html.escape(PurePosixPath(name).name) for name in row.outputs)
    files = "".join(f'<li class="name">{name}</li>' for name in names)
    shown = "".join(pictures.pop(name, "") for name in row.outputs)
    count = account.file_counts.get(row.subject)
    counted = "" if count is None else f'<div class="why">{count} DICOM files</div>'
    why = "".join(dict.fromkeys(map(_why, account.decisions.get(row.subject, ()))))
    # A reason that a decision gives already is not said twice.
    told = {each.reason for each in account.decisions.get(row.subject, ())}
    reason = "" if row.reason in told else html.escape(row.reason)
    return (
        f'<tr><th scope="row">{html.escape(row.subject)}</th>'
        f'<td><span class="badge {html.escape(row.outcome)}">{_OUTCOMES[row.outcome]}</span>'
        f"{counted}</td>"
        f"<td>{f'<p>{reason}</p>' if reason else ''}{f'<ul>{why}</ul>' if why else ''}</td>"
        f"<td>{f'<ul>{files}</ul>' if files else ''}</td><td>{shown}</td></tr>\n"
    )


def _why(decision: Decision) -> str:
    kind = "left out" if decision.is_left_out else decision.kind
    mark = ' class="guessed"' if decision.confidence is Confidence.GUESSED else ""
    return (
        f"<li><b>{html.escape(kind)}</b> <span{mark}>{_CONFIDENCE[decision.confidence]}</span>"
        f'<div class="why"><span>{html.escape(decision.reason)}</span> '
        f"<span>(rule {html.escape(decision.rule)})</span></div></li>"
    )


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    errors, warnings = sum(verdict.errors.values()), sum(verdict.warnings.values())
    rows = "".join(
        f'<tr><th scope="row">{html.escape(code)}</th><td>{kind}</td><td>{count}</td></tr>\n'
        for kind, found in (("error", verdict.errors), ("warning", verdict.warnings))
        for code, count in sorted(found.items())
    )
    head = (
        f"<h2>The BIDS validator</h2>\n<p>{errors} errors, {warnings} warnings, by schema "
        f"{html.escape(verdict.schema_version)}. "
    )
    text = (
        "Errors must be mended before others can use the tree. "
        if errors
        else "The tree is valid BIDS. "
    )
    if not rows:
        return f"{head}{text}</p>\n"
    return (
        f"{head}{text}Warnings name facts that BIDS recommends and the headers do not hold; the "
        "full answer is in validator.json.</p>\n<details><summary>Codes and how often</summary>\n"
        '<table>\n<thead><tr><th scope="col">Code</th><th scope="col">Kind</th>'
        f'<th scope="col">Times</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n'
        "</details>\n"
    )


def _figure(picture: Picture) -> str:
    # Only here, so that numpy is imported while the validator runs.
    from containers.dicom_to_bids.pictures import draw_slices  # noqa: PLC0415  # loads the drawing library

    name = html.escape(PurePosixPath(picture.name).name)
    drawn = draw_slices(picture.image.image_path)
    if not drawn:
        return f"<p>No picture of {name}: its voxels are not single numbers.</p>"
    tags = "".join(
        f'<img width="{each.width}" height="{each.height}" '
        f'alt="Middle {each.plane} slice of {name}" '
        f'src="data:image/png;base64,{base64.b64encode(each.png).decode("ascii")}">'
        for each in drawn
    )
    return f'<figure title="{name}">{tags}</figure>'

"""Writes the quality of one image or recording as one HTML page that opens anywhere, offline.

Pictures are in the page; no script, nothing from elsewhere. Not here: the pictures.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

from qc.definitions import definition_of
from qc.record import HEADING

STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:2rem auto;max-width:72rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.35rem .5rem;text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
img{max-width:100%;height:auto}
h1,h2,h3{overflow-wrap:anywhere}
td p{margin:0}
td.text{min-width:15rem;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:1rem 0}
.large img{min-width:44rem}
.notice{border-left:6px solid #8a5a00;padding:.5rem 1rem;background:#fff6e5}
"""
RECORDINGS = frozenset({"eeg", "meg"})
"""What shows no face."""
_SHOWN_ABOVE = frozenset({"notice", "notes", "heading"})
_BETTER = {
    "lower": "lower is better",
    "higher": "higher is better",
    "zero": "nearer to 0 is better",
    "none": "",
}


def head(title: str) -> str:
    """Return the beginning of a page, up to its heading, under a strict content policy."""
    safe = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{safe}</h1>\n"
    )


def picture(png: bytes, description: str) -> str:
    """Return an image element that holds its picture."""
    data = base64.b64encode(png).decode("ascii")
    return f'<p><img alt="{html.escape(description)}" src="data:image/png;base64,{data}"></p>\n'


def make_page(
    title: str, record: Mapping[str, object], pictures: Sequence[tuple[str, str, bytes]]
) -> str:
    """Return the page of one image.

    Parameters
    ----------
    title : str
        A name without identity.
    record : Mapping
        As `qc.record.make_record` gives it.
    pictures : Sequence of (heading, description, PNG)
        The description stands above the picture.
    """
    provenance = record["provenance"]
    undefined = record["undefined"]
    assert isinstance(provenance, dict)  # noqa: S101 - the record's own layout
    assert isinstance(undefined, dict)  # noqa: S101 - likewise
    meta = record["bids_meta"]
    assert isinstance(meta, dict)  # noqa: S101 - likewise
    parts = [head(f"{title}: image quality"), f'<p class="notice"><strong>{HEADING}.</strong> ']
    parts.append(f"{html.escape(str(provenance['notice']))}</p>\n")
    if provenance["defaced"] is not True and meta["modality"] not in RECORDINGS:
        parts.append(
            '<p class="notice">Nobody said that this image is defaced: its pictures may show a '
            "face. Keep this page where the image itself may be seen.</p>\n"
        )
    parts += [f"<p>{html.escape(str(note))}</p>\n" for note in provenance["notes"]]
    for heading, description, png in pictures:
        name = html.escape(heading)
        parts.append(
            f"<h2>{name}</h2>\n<p>{html.escape(description)}</p>\n"
            f'<div class="wide large" role="region" aria-label="{name}" tabindex="0">\n'
            f"{picture(png, f'{heading} of {title}')}</div>\n"
        )
    parts.append(_table(record, undefined))
    facts = [(key, provenance[key]) for key in sorted(provenance) if key not in _SHOWN_ABOVE]
    rows = "".join(
        f'<tr><th scope="row">{html.escape(key)}</th>'
        f'<td class="text">{html.escape(_text(value))}</td></tr>\n'
        for key, value in facts
    )
    parts.append(
        '<h2>Where the values come from</h2>\n<div class="wide" role="region" '
        'aria-label="Where the values come from" tabindex="0">\n<table>\n<tbody>\n'
        f"{rows}</tbody>\n</table>\n</div>\n"
    )
    parts.append("</main>\n</body>\n</html>\n")
    return "".join(parts)


def _table(record: Mapping[str, object], undefined: Mapping[str, str]) -> str:
    rows = []
    for name, value in record.items():
        if name in {"bids_meta", "provenance", "undefined"}:
            continue
        about = definition_of(name)
        shown = "not known" if value is None else f"{value:.5g}"
        meaning = about.meaning
        if value is None:
            meaning += f". No value: {undefined[name]}"
        source = "MRIQC's" if about.is_mriqc else "own"
        rows.append(
            f'<tr><th scope="row">{name}</th><td class="number">{shown}</td>'
            f"<td>{html.escape(about.unit)}</td><td>{_BETTER[about.better]}</td>"
            f'<td>{source}</td><td class="text">{html.escape(meaning)}</td></tr>\n'
        )
    return (
        '<h2>Measures</h2>\n<div class="wide" role="region" aria-label="Measures" tabindex="0">\n'
        '<table>\n<thead><tr><th scope="col">Name</th><th scope="col">Value</th>'
        '<th scope="col">Unit</th><th scope="col">Direction</th><th scope="col">Formula</th>'
        f'<th scope="col">Meaning</th></tr></thead>\n<tbody>\n{"".join(rows)}</tbody>\n'
        "</table>\n</div>\n"
    )


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items()) or "none"
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

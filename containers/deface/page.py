"""Writes the report as one HTML page with pictures inside, readable without a network.

The pictures before show the face: the page stays with the restricted source. Not here: the
pictures themselves (``renders``).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from containers.deface.gates import Gate
from containers.deface.pipeline import Outcome

_STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:2rem auto;max-width:72rem;padding:0 1rem}
.done{border-color:#05512a;background:#e9f6ee}.refused{border-color:#8f1010;background:#fbeaea}
.verdict{padding:.6rem 1rem;border-left:.5rem solid}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.35rem .6rem .35rem 0;text-align:left;vertical-align:top}
img{background:#000;max-width:100%;height:auto}
.pictures{display:flex;flex-wrap:wrap;gap:.3rem}.pictures img{max-width:24%}
.bad{color:#8f1010;font-weight:bold}.warning{border:2px solid #8f1010;padding:.5rem 1rem}
"""
_VIEWS = ("from the front", "half from the left", "half from the right", "from the side")


def write_page(
    path: Path, outcomes: Iterable[tuple[str, Outcome]], left_out: Iterable[tuple[str, str]]
) -> None:
    """Write the page.

    Parameters
    ----------
    outcomes : iterable of (str, Outcome)
        With what the report calls the image.
    left_out : iterable of (str, str)
        What was not defaced, and why.
    """
    sections = "\n".join(_section(shown, outcome) for shown, outcome in outcomes)
    rows = "".join(
        f"<tr><td>{html.escape(shown)}</td><td>{html.escape(reason)}</td></tr>\n"
        for shown, reason in left_out
    )
    rest = (
        "<h2>Not part of the result</h2><table><thead><tr><th>Image</th><th>Why</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Defacing</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        "<h1>Defacing</h1>\n"
        '<p class="warning">This page shows faces. Keep it with the restricted source; never '
        "copy it into a release.</p>\n"
        f"{sections}\n{rest}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def verdict(outcome: Outcome) -> str:
    """Return what became of an image in one sentence."""
    if outcome.failed:
        reasons = "; ".join(each.reason for each in outcome.failed)
        return f"Withheld: {reasons}. A person must look."
    if not outcome.has_face:
        return (
            "No face is left in it (defaced before, stripped of its skull, or cut above the "
            "face): handed on unchanged."
        )
    return f"Defaced; {outcome.removed:.1%} of the voxels were set to the fill value."


def _section(shown: str, outcome: Outcome) -> str:
    kind = "refused" if outcome.failed else "done"
    rows = "".join(map(_gate_row, outcome.gates))
    fits = ", ".join(f"{html.escape(fit.name)} {fit.dice:.3f}" for fit in outcome.fits)
    used = f"; used: {html.escape(outcome.chosen)}" if outcome.chosen else ""
    seen = outcome.sightings.says if outcome.sightings else "did not look"
    return (
        f"<section><h2>{html.escape(shown)}</h2>\n"
        f'<p class="verdict {kind}">{html.escape(verdict(outcome))}</p>\n'
        f"{_pictures('Before', outcome.before)}{_pictures('After', outcome.after)}"
        f"{_pictures('Slices; what goes is red', (outcome.slices,) if outcome.slices else ())}"
        "<table><thead><tr><th>Gate</th><th>Found</th><th>Limit</th><th>Verdict</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>\n<p>Overlap of brains by fit: {fits or 'none'}{used}.</p>"
        f"<p>Face detector: {seen}.</p>"
        "</section>"
    )


def _gate_row(gate: Gate) -> str:
    shown = "<td>passed" if gate.is_passed else '<td class="bad">NOT passed'
    return (
        f"<tr><td>{html.escape(gate.name)}</td><td>{round(gate.value, 4):.4g}</td>"
        f"<td>{html.escape(gate.limit)}</td>{shown}</td></tr>\n"
    )


def _pictures(title: str, pictures: tuple[bytes, ...]) -> str:
    if not pictures:
        return ""
    views = _VIEWS if len(pictures) > 1 else ("",)
    images = "".join(
        f'<img alt="{html.escape(title)}{", " + view if view else ""}" '
        f'src="data:image/png;base64,{base64.b64encode(each).decode("ascii")}">'
        for each, view in zip(pictures, views, strict=True)
    )
    kind = "pictures" if len(pictures) > 1 else ""
    return f'<h3>{html.escape(title)}</h3><div class="{kind}">{images}</div>\n'

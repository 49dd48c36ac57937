"""Writes the account of a session as one HTML page that opens anywhere, without a network.

No scripts and nothing from elsewhere. Not here: the account itself (``step``).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from containers.contract import Accounted

PAGE_FILE_NAME = "report.html"
_OUTCOMES = {"done": "in the data set", "left-out": "left out", "failed": "failed"}
_STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:2rem auto;max-width:80rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.5rem;text-align:left;vertical-align:top}
ul{margin:0;padding-left:1.1rem}
.wide{overflow-x:auto}
.done{color:#05512a}.left-out{color:#5c4300}.failed{color:#8f1010;font-weight:bold}
"""


def write_page(
    path: Path,
    rows: Sequence[Accounted],
    taken_out: Sequence[str],
    *,
    summary: str,
    warnings: Sequence[str],
) -> None:
    """Write the page to ``path``.

    Parameters
    ----------
    rows : Sequence[Accounted]
        All recordings and other files.
    taken_out : Sequence[str]
        Sentences about what was taken out, without values.
    summary, warnings
        Sentences without identity.
    """
    body = "".join(_row(row) for row in rows)
    path.write_text(
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>EEG and MEG to BIDS</title>\n"
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>EEG and MEG to BIDS</h1>\n<p>{html.escape(summary)}</p>\n"
        + _listed("To look at", warnings)
        + "<h2>Recordings and files</h2>\n<p>They are numbered in the order of their paths; names "
        "of files may hold names of people, so they are not shown.</p>\n"
        '<div class="wide" role="region" aria-label="Recordings and files" tabindex="0">\n'
        '<table>\n<thead><tr><th scope="col">Source</th><th scope="col">Outcome</th>'
        '<th scope="col">Reason</th><th scope="col">Files</th></tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        + _listed("What was taken out or replaced", taken_out)
        + "</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _listed(heading: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(each)}</li>" for each in sentences)
    return f"<h2>{heading}</h2>\n<ul>{items}</ul>\n" if items else ""


def _row(row: Accounted) -> str:
    files = "".join(f"<li>{html.escape(PurePosixPath(name).name)}</li>" for name in row.outputs)
    return (
        f'<tr><th scope="row">{html.escape(row.subject)}</th>'
        f'<td class="{html.escape(row.outcome)}">{_OUTCOMES[row.outcome]}</td>'
        f"<td>{html.escape(row.reason)}</td><td>{f'<ul>{files}</ul>' if files else ''}</td></tr>\n"
    )

"""Writes the outcome as one HTML page that opens anywhere, without a network.

No scripts, no links, nothing from elsewhere. Not here: the outcome itself (``result``).
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from containers.check_identity.criteria import Severity
from containers.check_identity.result import CheckResult, CriterionOutcome, Place, Status

_SHOWN_PLACES = 25
_WORDS = {
    Status.PASS: "met",
    Status.FAIL: "not met",
    Status.UNKNOWN: "not known",
    Status.NOT_APPLICABLE: "does not apply",
}
_ORDER = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.PASS: 2, Status.NOT_APPLICABLE: 3}
_STYLE = """\
body{font:16px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1b1b1b;background:#fff;
margin:2rem auto;max-width:72rem;padding:0 1rem}
.verdict{font-size:1.25rem;padding:.8rem 1rem;border-left:.5rem solid}
.clean{background:#e9f6ee;border-color:#05512a}
.unsafe{background:#fbeaea;border-color:#8f1010}
table{border-collapse:collapse;width:100%}
th,td{border-top:1px solid #999;padding:.45rem .6rem .45rem 0;text-align:left;vertical-align:top}
td:first-child,td:nth-child(2),td:nth-child(3){white-space:nowrap}
.wide{overflow-x:auto}
.pass{color:#05512a}.fail{color:#8f1010;font-weight:bold}.unknown{color:#704c00;font-weight:bold}
.not-applicable{color:#555}
code{font:.9em/1.4 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.note{color:#444}
"""


def write_page(path: Path, result: CheckResult) -> None:
    """Write the page to ``path``; it repeats no value of any file."""
    here = [each for each in result.outcomes if each.criterion.is_checked_here]
    elsewhere = [each for each in result.outcomes if not each.criterion.is_checked_here]
    ordered = sorted(here, key=lambda each: (_rank(each), each.criterion.id))
    troubled = [each for each in ordered if each.places]
    body = [
        "<h1>Identity check</h1>",
        _verdict(result),
        f"<p>{_figures(result)}</p>",
        _list(result.notes),
        "<h2>Criteria</h2>",
        _criteria_table(ordered),
        *(_places_section(each) for each in troubled),
        "<h2>Not checked here</h2><p>Files alone cannot show these; the sharing gate asks for "
        "the records they need.</p>" + _criteria_table(elsewhere)
        if elsewhere
        else "",
    ]
    path.write_text(
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Identity check: {'clean' if result.is_clean else 'not safe'}</title>\n"
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _rank(outcome: CriterionOutcome) -> tuple[int, int]:
    is_block = outcome.criterion.severity is Severity.BLOCK
    return _ORDER[outcome.status], 0 if is_block else 1


def _verdict(result: CheckResult) -> str:
    if result.is_clean:
        text = "No identity found. Every blocking criterion that files can show is met."
        return f'<p class="verdict clean">{text}</p>'
    counts = Counter(each.status for each in result.unmet)
    text = (
        f"Not safe to release: {counts[Status.FAIL]} blocking criteria are not met, "
        f"{counts[Status.UNKNOWN]} are not known."
    )
    return f'<p class="verdict unsafe">{text}</p>'


def _figures(result: CheckResult) -> str:
    kinds = ", ".join(f"{count} {html.escape(kind)}" for kind, count in result.kinds.items())
    return (
        f"{result.file_count} files; looked at, with what is packed in them: {kinds or 'nothing'}. "
        f"{result.bytes_searched / 1e6:.1f} MB searched for {result.known_count} known strings. "
        f"Criteria version {html.escape(result.version)}."
    )


def _list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(each)}</li>" for each in lines)
    return f'<ul class="note">{items}</ul>' if items else ""


def _criteria_table(outcomes: Sequence[CriterionOutcome]) -> str:
    rows = "".join(map(_criterion_row, outcomes))
    return (
        '<div class="wide" role="region" aria-label="Criteria" tabindex="0"><table>\n'
        '<thead><tr><th scope="col">No.</th><th scope="col">Outcome</th>'
        '<th scope="col">Severity</th><th scope="col">Rule</th><th scope="col">Places</th></tr>'
        f"</thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _criterion_row(outcome: CriterionOutcome) -> str:
    criterion, status = outcome.criterion, outcome.status
    reason = (
        f'<br><span class="note">{html.escape(outcome.reason)}</span>' if outcome.reason else ""
    )
    places = ""
    if outcome.places:
        places = f'<a href="#criterion-{criterion.id}">{outcome.count}</a>'
    return (
        f'<tr><td>{criterion.id}</td><td class="{status.value}">{_WORDS[status]}</td>'
        f"<td>{criterion.severity.value}</td><td>{html.escape(criterion.rule)}{reason}</td>"
        f"<td>{places}</td></tr>\n"
    )


def _places_section(outcome: CriterionOutcome) -> str:
    criterion = outcome.criterion
    rows = "".join(map(_place_row, outcome.places[:_SHOWN_PLACES]))
    more = outcome.count - min(len(outcome.places), _SHOWN_PLACES)
    rest = (
        f"<p>And {more} more; the JSON file beside this page lists up to 100.</p>" if more else ""
    )
    return (
        f'<h2 id="criterion-{criterion.id}">{criterion.id}. {html.escape(criterion.rule)}</h2>\n'
        f'<p class="note">{html.escape(criterion.how)} Source: {html.escape(criterion.source)}.</p>'
        f'<div class="wide" role="region" aria-label="Places of criterion {criterion.id}" '
        'tabindex="0"><table><thead><tr><th scope="col">File</th><th scope="col">Where</th>'
        '<th scope="col">Found</th><th scope="col">Digest</th></tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>{rest}"
    )


def _place_row(place: Place) -> str:
    return (
        f"<tr><td><code>{html.escape(place.path)}</code></td>"
        f"<td><code>{html.escape(place.inside)}</code></td>"
        f"<td>{html.escape(place.what)}</td><td><code>{place.digest}</code></td></tr>\n"
    )

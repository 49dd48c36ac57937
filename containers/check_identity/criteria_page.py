"""Writes docs/criteria.md from the list of criteria.

Run as ``python -m containers.check_identity.criteria_page`` in the source tree; ``--check``
writes nothing and ends with 1 if the page is not what the list makes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from containers.check_identity.criteria import all_criteria, criteria_version

PAGE_PATH = Path("docs", "criteria.md")
_RENEW = "python -m containers.check_identity.criteria_page"


def page_text() -> str:
    """Return the list as a page in Markdown."""
    lines = [
        "# Criteria for a release",
        "",
        f"<!-- Made from the list in containers/check_identity/data by {_RENEW}; do not edit. -->",
        "",
        (
            f"Version {criteria_version()}. *block*: not met or not known, nothing is released. "
            "*review*: a named person decides. *info*: recorded. How to run the check: "
            "[check-identity.md](check-identity.md)."
        ),
        "",
        "| no. | rule | severity | applies to | how it is checked | source |",
        "|---|---|---|---|---|---|",
    ]
    for each in all_criteria():
        how = each.how if each.is_checked_here else f"Not checked here: needs {each.needs}."
        cells = (str(each.id), each.rule, each.severity, each.applies_to, how, each.source)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with ``--check`` return 1 if it is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    is_check = parser.parse_args(argv).check
    path = Path(__file__).resolve().parents[2] / PAGE_PATH
    if is_check:
        return int(not path.is_file() or path.read_text(encoding="utf-8") != page_text())
    path.write_text(page_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

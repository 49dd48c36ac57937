"""How findings on prerequisites are printed, and what a refusal prints before it ends with code 4.

Not here: any subcommand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.finding import Finding, blocking
from xnat_client.sharing.vocabulary import Need

_MARKS = {Need.RECOMMENDED: " (recommended)", Need.OPTIONAL: " (optional)"}


def document_of(one: Finding) -> dict[str, Any]:
    """Return a finding for machines."""
    return {
        "number": one.number,
        "key": one.key,
        "need": one.need.value,
        "outcome": one.outcome.value,
        "blocks": one.blocks,
        "what": one.what,
        "who": one.who,
        "todo": one.todo,
    }


def lines_of(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the lines on findings for people: outcome, what was found, who must do what."""
    for one in findings:
        number = f"{one.number:2}" if one.number else "  "
        mark = _MARKS.get(one.need, "")
        yield f"{number}  {one.outcome.value:10}  {one.key}: {one.what}{mark}"
        if one.todo:
            who = f"{one.who}: " if one.who else ""
            yield f"{'':16}{who}{one.todo}"


def verdict_of(findings: Iterable[Finding]) -> str:
    """Return one line: whether anything keeps it closed."""
    count = len(blocking(findings))
    if not count:
        return "Everything that this level needs is met."
    return f"{count} of what this level needs {'is' if count == 1 else 'are'} not met or unknown."


@contextmanager
def refusals(*, as_json: bool) -> Iterator[None]:
    """Print what is not met when the policy refuses, then let the refusal end the command."""
    try:
        yield
    except RefusedByPolicyError as error:
        if as_json:
            found = [document_of(one) for one in error.findings]
            # Printed with the error itself: one JSON object in all.
            error.document = {"refused": True, "why": str(error), "findings": found}
        elif error.findings:
            click.echo("\n".join(lines_of(error.findings)), err=True)
        raise

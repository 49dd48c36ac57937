"""``winxnat share agreement``: texts on record, and their acceptance.

Not here: permissions that follow from an acceptance (``grants``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnat_client.cli.sharing.acting import Acting, Records, acting, asked, reading, table
from xnat_client.errors import EXIT_BAD_INPUT, EXIT_DONE, UsageError
from xnat_client.sharing.database.tables import Agreement
from xnat_client.sharing.records import agreements
from xnat_client.sharing.records.agreement_text import read_agreement
from xnat_client.sharing.records.agreements import Signing

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(help="Agreements, internal policies, and who accepted them.")
def agreement() -> None:
    """Run ``winxnat share agreement``."""


@agreement.command("add", help="Put a version of a text on record; the officer decides.")
@click.argument("file", type=_FILE)
@acting
def add(work: Acting, *, file: Path) -> None:
    """Run ``winxnat share agreement add``."""
    text = read_agreement(file)
    with work.transaction() as (session, now):
        row = agreements.add_agreement(session, work.actor, text, now=now)
        found = _described(row)
    work.show(found, f"on record: {row.agreement_id} {row.version} ({row.language}), {row.sha256}")


@agreement.command("list", help="List the texts on record.")
@reading
def list_texts(work: Records) -> None:
    """Run ``winxnat share agreement list``."""
    with work.transaction() as (session, _):
        found = [_described(row) for row in agreements.all_agreements(session)]
    rows = [
        (one["agreement"], one["version"], one["language"], "legal" if one["legal"] else "informs",
         one["effective_on"], one["sha256"][:12])
        for one in found
    ]  # fmt: skip
    work.show({"agreements": found}, table(rows, "no texts yet"))


def _described(row: Agreement) -> dict[str, Any]:
    return {
        "agreement": row.agreement_id,
        "version": row.version,
        "language": row.language,
        "legal": row.legal,
        "effective_on": row.effective_on.isoformat(),
        "sha256": row.sha256,
        "clauses": row.clauses["clauses"],
        "summary": row.clauses["summary"],
        "change_note": row.change_note,
    }


@agreement.command("show", help="Print the text that is in effect, and its digest.")
@click.argument("agreement_id")
@reading
def show(work: Records, *, agreement_id: str) -> None:
    """Run ``winxnat share agreement show``."""
    with work.transaction() as (session, now):
        row = agreements.current_text(session, agreement_id, now)
        if row is None:
            raise UsageError(f"No version of agreement {agreement_id} is in effect.")
        found = {**_described(row), "text": row.text}
    lines = [row.text, f"Version {row.version}, SHA-256 {row.sha256}"]
    ticks = sorted(agreements.clauses_to_tick(row))
    if ticks:
        lines.append(f"To be ticked one by one: {', '.join(ticks)}")
    work.show(found, "\n".join(lines))


@agreement.command(
    "accept",
    help="""Accept the text that is in effect, for yourself alone.

The person who acts accepts. The full name is asked for, or read from standard input, because other
people can read arguments. The digest says which text was read (winxnat share agreement show). A
receipt is printed that can be shown and verified later.""",
)
@click.argument("agreement_id")
@click.option("--text-sha256", required=True, help="Digest of the text that was read.")
@click.option("--tick", "ticks", multiple=True, help="A clause, ticked; once for each.")
@click.option("--family", default="", help="Family of releases; none for an internal policy.")
@acting
def accept(
    work: Acting, *, agreement_id: str, text_sha256: str, ticks: tuple[str, ...], family: str
) -> None:
    """Run ``winxnat share agreement accept``."""
    typed = asked("Your full name")
    with work.transaction() as (session, now):
        text = agreements.current_text(session, agreement_id, now)
        if text is None:
            raise UsageError(f"No version of agreement {agreement_id} is in effect.")
        signing = Signing(agreement_id, text.version, text_sha256, ticks, typed, family)
        row = agreements.accept(session, work.actor, signing, now=now)
        receipt = agreements.receipt(row)
    document = {
        "acceptance": row.acceptance_pk,
        "expires_at": row.expires_at.isoformat(timespec="seconds"),
        "receipt": receipt,
        "receipt_sha256": row.receipt_sha256,
    }
    work.show(document, receipt)


@agreement.command("receipt", help="Say whether a receipt in FILE was issued here.")
@click.argument("file", type=_FILE)
@reading
def verify_receipt(work: Records, *, file: Path) -> int:
    """Run ``winxnat share agreement receipt``."""
    content = file.read_text(encoding="utf-8", errors="replace")
    with work.transaction() as (session, now):
        row = agreements.acceptance_with_receipt(session, content)
        worth = agreements.standing(session, row, now).value if row else ""
    if row is None:
        work.show({"issued": False}, "no such receipt was issued here")
        return EXIT_BAD_INPUT
    document = {"issued": True, "acceptance": row.acceptance_pk, "standing": worth}
    work.show(document, f"issued {row.accepted_at:%Y-%m-%d}; {worth}")
    return EXIT_DONE

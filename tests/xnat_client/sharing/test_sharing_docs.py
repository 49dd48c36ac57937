"""The guides name what there is: every level, condition's number, role, and subcommand."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from xnat_client.cli.audit import audit
from xnat_client.cli.release import release
from xnat_client.cli.share import share
from xnat_client.sharing.levels import PREREQUISITES
from xnat_client.sharing.vocabulary import ConsentEvent, Level

_DOCS = Path(__file__).parents[3] / "docs"
_GUIDES = "\n".join(
    (_DOCS / name).read_text(encoding="utf-8")
    for name in ("sharing.md", "release.md", "watching.md")
)


@pytest.mark.parametrize("group", [share, release, audit], ids=lambda group: str(group.name))
def test_every_subcommand_is_in_a_guide(group: click.Group) -> None:
    """No subcommand of sharing is without a word in the guides."""
    context = click.Context(group)
    missing = [
        name
        for name in group.list_commands(context)
        if not re.search(rf"\b{group.name} {name}\b", _GUIDES)
    ]

    assert missing == []


def test_every_level_has_its_row() -> None:
    """The table of levels has one row for each, in order."""
    text = (_DOCS / "sharing.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| (\w+) \|", text, re.MULTILINE)

    assert [row for row in rows if row in {level.word for level in Level}] == [
        level.word for level in Level
    ]


def test_number_of_conditions_is_right() -> None:
    """The guide says how many conditions there are, and lists as many."""
    text = (_DOCS / "sharing.md").read_text(encoding="utf-8")
    found = re.search(r"The (\d+) conditions: ([^.]+)\.", text)

    assert found is not None
    assert int(found[1]) == len(PREREQUISITES) == len(found[2].split(","))


def test_every_class_of_withdrawal_is_explained() -> None:
    """A lead reads what each class does."""
    text = (_DOCS / "sharing.md").read_text(encoding="utf-8")

    for event in set(ConsentEvent) - {ConsentEvent.GIVEN}:
        assert f"| {event.value} |" in text


def test_links_of_the_guides_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", _GUIDES)

    assert len(targets) > 5
    assert [target for target in targets if not (_DOCS / target).exists()] == []

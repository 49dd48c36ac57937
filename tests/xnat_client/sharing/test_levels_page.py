"""The page on levels says what the tables in the code say."""

from __future__ import annotations

from pathlib import Path

from xnat_client.sharing.levels import APPROVERS, PREREQUISITES
from xnat_client.sharing.machines.grant_machine import RULES as GRANT_RULES
from xnat_client.sharing.machines.release_machine import RULES as RELEASE_RULES
from xnat_client.sharing.vocabulary import Level, Need

PAGE = Path(__file__).parents[3] / "docs" / "levels.md"
_MARKS = {
    Need.CHECKED: "checked",
    Need.STATED: "stated",
    Need.RECOMMENDED: "recommended",
    Need.OPTIONAL: "optional",
    Need.NONE: "-",
}


def test_page_has_every_prerequisite_with_what_each_level_asks_of_it() -> None:
    """One row for each of the 18, cell by cell."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()

    for one in PREREQUISITES:
        cells = " | ".join(_MARKS[need] for need in one.needs)
        assert f"| {one.number} | {one.key} | {cells} |" in lines


def test_page_names_who_approves_at_each_level() -> None:
    """The last row is the table of approvers."""
    text = PAGE.read_text(encoding="utf-8")

    for level in Level:
        names = ", ".join(sorted(role.value for role in APPROVERS[level])) or "nobody"
        assert f"| {level.word} | {names} |" in text


def test_page_names_every_event_of_releases_and_grants() -> None:
    """No event of the machines is left out."""
    text = PAGE.read_text(encoding="utf-8")

    for rule in (*RELEASE_RULES, *GRANT_RULES):
        assert f"`{rule.event.value}`" in text

"""A profile's switches: each does what the marks in a scrubbed file claim for it."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import resources

import pytest

from containers.contract import UsageError
from containers.scrub_headers.profile import Profile, load_profile, parse_profile
from containers.scrub_headers.rules import Decision, decide
from containers.scrub_headers.table import public_attributes

_PRIVATE = "retain_safe_private"
SWITCHES = [each.name for each in fields(Profile) if each.type == "bool" and each.name != _PRIVATE]
"""Those on public attributes; private ones are asked for by their blocks."""


def decisions(profile: Profile) -> dict[int, Decision]:
    """Return what becomes of each public attribute in its first representation."""
    return {
        tag: decide(tag, representation.split(" or ")[0], profile)
        for tag, (representation, _) in public_attributes().items()
    }


@pytest.mark.parametrize("name", SWITCHES)
def test_each_switch_changes_what_becomes_of_an_attribute(name: str):
    """A switch that did nothing would put a claim into every file that nobody has kept."""
    profile = load_profile("external")

    on, off = (decisions(replace(profile, **{name: each})) for each in (True, False))

    assert on != off


def test_a_switch_that_is_none_is_refused():
    """Graphics always go, so there is nothing to switch, and no mark to earn by it."""
    own = resources.files("containers.scrub_headers") / "profiles" / "external.yaml"
    text = own.read_text(encoding="utf-8")

    with pytest.raises(UsageError, match="breaks its schema"):
        parse_profile(f"{text}clean_graphics: true\n")

"""The shipped example texts are complete, read by our own readers, and marked as examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_client import sharing
from xnat_client.sharing.records import agreement_text, consent_columns, criteria, forms

TEMPLATES = Path(sharing.__file__).parent / "templates"

# What the agreement of the sharing policy must contain, section 4.14, in its order.
DEMANDED = {
    "no-reidentification", "no-onward-sharing", "law-and-ethics", "no-linking", "derived-data",
    "credit", "liability", "ending", "report-identity", "each-person", "yearly-confirmation",
    "no-leaking-services", "deletion", "location", "controller",
}  # fmt: skip


def test_the_agreement_has_every_clause_demanded():
    """And the two that matter most are ticked one by one."""
    text = agreement_text.read_agreement(TEMPLATES / "agreement.md")
    ticked = {one.clause_id for one in text.clauses if one.tick}

    assert {one.clause_id for one in text.clauses} >= DEMANDED
    assert ticked >= {"no-reidentification", "no-onward-sharing", "credit", "deletion"}
    assert text.summary


def test_the_other_templates_are_read():
    """By the very readers that read what people make of them."""
    assert agreement_text.read_agreement(TEMPLATES / "internal-policy.md").clauses
    assert len(forms.read_scopes(TEMPLATES / "consent-forms.yaml")) == 3
    assert consent_columns.read_columns(TEMPLATES / "consent-columns.yaml").needed()
    assert criteria.read_criteria(criteria.shipped_path()).version


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.*")), ids=lambda path: path.name)
def test_every_template_says_that_it_is_an_example(path: Path):
    """Nobody takes one for a text that counts."""
    assert "EXAMPLE" in path.read_text()

"""What an element is, by its tag and value representation: found out once, then remembered.

Not here: the rules themselves (``rules``), and the walk that asks (``dataset``).
"""

from __future__ import annotations

from typing import NamedTuple

from containers.scrub_headers.encoding import ITEM, LONG_VRS, SHORT_VRS, Encoding
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.profile import Profile
from containers.scrub_headers.rules import Action, Decision, decide
from containers.scrub_headers.table import public_attributes

# Kinds of elements, as the loop tells them apart.
GONE, VALUE, FACT, PRIVATE, SPECIAL = range(5)
FACT_TAGS = frozenset(
    {
        0x00080008, 0x00080016, 0x00080018, 0x00080064, 0x00280002, 0x00280004, 0x00280008,
        0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280301,
    }
)  # fmt: skip
"""Attributes that tell what an image is; their values are handed to the caller."""
OVERLAY_BIT = 0x60000102


class Known(NamedTuple):
    """What is known of an element by its first six bytes (four where no representation is)."""

    tag: int
    kind: int
    long_form: bool
    vr: str
    decision: Decision
    rule: int


def ends_early() -> RefusedFileError:
    """Return the refusal of a file that stops where something must follow."""
    return RefusedFileError("It ends in the middle of an element, or a length in it is wrong.")


class Judge:
    """Judges elements of one encoding under one profile.

    Parameters
    ----------
    encoding : Encoding
        How the elements are written.
    profile : Profile
        What may stay.
    rules : dict
        The rules met so far and their places in a tally; shared with the judge of inner items.
    """

    def __init__(self, encoding: Encoding, profile: Profile, rules: dict[str, int]) -> None:
        self._encoding = encoding
        self._profile = profile
        self._rule_numbers = rules
        self.heads: dict[bytes, Known] = {}

    def rule_number(self, rule: str) -> int:
        """Return the place of a rule in a tally."""
        return self._rule_numbers.setdefault(rule, len(self._rule_numbers))

    def replaced(self, known: Known) -> Known:
        """Return what an element is whose place a label or mark takes."""
        decision = Decision(Action.REMOVE, "replaced by the new label or mark")
        rule = self.rule_number(decision.rule)
        return known._replace(kind=GONE, decision=decision, rule=rule)

    def learn(self, head: bytes) -> Known:
        """Find out what an element is by its tag and representation, once for each."""
        if len(head) < (6 if self._encoding.explicit else 4):
            raise ends_early()
        group, element = self._encoding.tag.unpack_from(head)
        tag = group << 16 | element
        if group == ITEM >> 16:
            raise RefusedFileError("An item or delimiter stands where an element must be.")
        long_form = False
        if self._encoding.explicit:
            letters = head[4:6]
            long_form = letters in LONG_VRS
            if not long_form and letters not in SHORT_VRS:
                raise RefusedFileError("An element has no valid value representation.")
            vr = letters.decode("ascii")
        else:
            vr = self._implicit_vr(tag)
        known = self._judge(tag, vr, long_form=long_form)
        self.heads[head] = known
        return known

    def _implicit_vr(self, tag: int) -> str:
        known = public_attributes().get(tag)
        if known is None or tag >> 16 & 1:
            return "UN"
        choices = known[0].split(" or ")
        # Of two representations the binary one that no number test spoils: pixel data as words.
        return "OW" if "OW" in choices and tag >> 16 != 0x0028 else choices[0]  # noqa: PLR2004 - the group of images

    def _judge(self, tag: int, vr: str, *, long_form: bool) -> Known:
        if tag >> 16 & 1:
            return self._judge_private(tag, vr, long_form=long_form)
        right = vr
        if vr == "UN" and tag in public_attributes():
            # A program that did not know the attribute wrote it so; the dictionary tells.
            right = public_attributes()[tag][0].split(" or ")[0]
        decision = decide(tag, right, self._profile)
        kind = VALUE
        if decision.action is Action.REMOVE:
            kind = GONE
            if tag & 0xFF00FFFF == OVERLAY_BIT:
                kind = SPECIAL
        elif decision.action in {Action.SEQUENCE, Action.PIXELS} or right == "SQ":
            kind = SPECIAL
        elif tag in FACT_TAGS:
            kind = FACT
        return Known(tag, kind, long_form, right, decision, self.rule_number(decision.rule))

    def _judge_private(self, tag: int, vr: str, *, long_form: bool) -> Known:
        group, element = tag >> 16, tag & 0xFFFF
        gone = Decision(Action.REMOVE, "private element that no rule keeps")
        if group <= 0x0007 or group == 0xFFFF or not self._profile.retain_safe_private:  # noqa: PLR2004 - groups that no data set has
            return Known(tag, GONE, long_form, vr, gone, self.rule_number(gone.rule))
        decision = Decision(Action.BINARY, "private element by its creator")
        kind = PRIVATE if vr != "SQ" else SPECIAL
        if element < 0x1000:  # noqa: PLR2004 - creators at 0010 to 00FF, nothing valid beside
            is_creator = 0x10 <= element <= 0xFF and vr in {"LO", "UN"}  # noqa: PLR2004 - PS3.5 section 7.8.1
            if not is_creator:
                return Known(tag, GONE, long_form, vr, gone, self.rule_number(gone.rule))
            decision, kind = Decision(Action.TEXT, "private creator"), SPECIAL
        elif vr == "UN":
            kind = SPECIAL
        return Known(tag, kind, long_form, vr, decision, self.rule_number(decision.rule))

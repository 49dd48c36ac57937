"""New labels: drawn, never made; in no order; stable within a family."""

from __future__ import annotations

import ast
import re
import string
from collections import Counter
from pathlib import Path

from xnat_client.release import labels as module
from xnat_client.release.labels import new_label, shuffled


def test_labels_are_of_letters_and_digits_that_bids_allows() -> None:
    drawn = {new_label(()) for _ in range(2000)}

    assert {len(each) for each in drawn} == {10}
    assert set("".join(drawn)) <= set(string.ascii_lowercase + string.digits)
    assert len(drawn) == 2000


def test_a_taken_label_is_drawn_again() -> None:
    class AllButOne(set[str]):
        asked = 0

        def __contains__(self, label: object) -> bool:
            self.asked += 1
            return self.asked < 3

    taken = AllButOne()

    assert new_label(taken)
    assert taken.asked == 3


def test_every_character_is_about_as_likely_as_another() -> None:
    drawn = [new_label(()) for _ in range(5000)]

    letters, digits = (Counter("".join(each[place::2] for each in drawn)) for place in (0, 1))
    # 25,000 characters over 19 and over 8: 1316 and 3125 each, with spreads of 35 and 52; six
    # spreads are never seen.
    assert len(letters) == 19
    assert len(digits) == 8
    assert all(1316 - 210 < count < 1316 + 210 for count in letters.values())
    assert all(3125 - 315 < count < 3125 + 315 for count in digits.values())


def test_no_label_holds_an_old_one_or_initials_by_chance() -> None:
    drawn = [new_label(()) for _ in range(5000)]

    assert not any(re.search(r"[a-z]{2}|[0-9]{2}", each) for each in drawn)


def test_the_order_of_work_does_not_follow_the_given_order() -> None:
    positions = Counter(shuffled(range(10)).index(0) for _ in range(3000))

    # 300 in each place, with a spread of 17.
    assert all(300 - 110 < positions[place] < 300 + 110 for place in range(10))


def test_the_module_uses_nothing_but_the_operating_systems_generator() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }

    assert imported == {"__future__", "secrets", "collections.abc", "typing"}

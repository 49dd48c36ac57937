"""The writer of tables: what the quick way for long lists prints is what the plain way does."""

from __future__ import annotations

import csv
import io
import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.tables import csv_of_joined, joined_cells

_CELL = st.sampled_from(["", "a", "x,y", "x,y,z", '"', 'a"b', "two words", "é", " ", "\x1e"])
_ROWS = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(_CELL, min_size=width, max_size=width), max_size=5)
)


def _plain(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _quick(header: list[str], rows: list[list[str]], portion: int = 1000) -> str:
    return "".join(csv_of_joined(header, ("\x1f".join(row) for row in rows), portion))


@given(_ROWS, st.integers(1, 6))
def test_joined_cells_become_the_same_csv(rows: list[list[str]], portion: int) -> None:
    """Whatever is in the cells, the text is that of Python's own writer."""
    header = [f"c{number}" for number in range(len(rows[0]) if rows else 2)]

    text = _quick(header, rows, portion)

    assert text == _plain([header, *rows])


def test_many_different_cells_with_commas_are_quoted_too() -> None:
    """More kinds of such cells than are looked for one by one are written the plain way."""
    rows = [[f"{number}, a note", "1"] for number in range(100)]

    assert _quick(["a", "b"], rows) == _plain([["a", "b"], *rows])


def test_line_breaks_in_cells_become_blanks() -> None:
    """A row of a table stays on one line, as in XNAT."""
    text = _quick(["a", "b"], [["x\ny", "1"], ["z", "2"]])

    assert text == 'a,b\n"x y",1\nz,2\n'


def test_sqlite_joins_what_python_would_print() -> None:
    """Null is empty; numbers and text are as they are; a hundred cells are the most."""
    select = joined_cells(["NULL", "1", "'a b'", "12345678901"])

    with sqlite3.connect(":memory:") as connection:
        (row,) = connection.execute(f"SELECT {select}").fetchone()
    connection.close()

    assert row.split("\x1f") == ["", "1", "a b", "12345678901"]
    assert joined_cells(["1"] * 101) is None

"""Whether a row is what our own code wrote last: its digest against its last seal in the log.

A row that another program edited, added or brought back is not believed by whoever names readers.
Entries of the log that do not fit their own hash seal nothing. Not here: the seals themselves
(``audit.seals``), the verification of everything (``audit.verify``).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from xnat_client.sharing.audit import chain, overwriting, seals
from xnat_client.sharing.database.tables import Base


def is_sealed(session: Session, row: Base) -> bool:
    """Tell whether a row is what the log says was written last."""
    kept = _last_seals(session).get((row.__tablename__, seals.row_key(row)))
    return kept is not None and kept == seals.row_digest(row)


def none_is_missing(session: Session, kind: type[Base], rows: Iterable[Base]) -> bool:
    """Tell whether all rows of a kind that the log knows, and none else, are as it says.

    Parameters
    ----------
    rows : iterable
        All rows of that kind in the table.
    """
    table = kind.__tablename__
    expected = {
        key: digest
        for (name, key), digest in _last_seals(session).items()
        if name == table and digest != seals.GONE
    }
    return expected == {seals.row_key(row): seals.row_digest(row) for row in rows}


def _last_seals(session: Session) -> dict[tuple[str, str], str]:
    # What this transaction wrote itself is sealed before it is compared.
    chain.seal_rest(session)
    return overwriting.last_seals(session)

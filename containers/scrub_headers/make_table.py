"""Makes ``data/ps3_15_e1_1.json``, the table of attributes that the scrubber obeys.

Run as ``python -m containers.scrub_headers.make_table SOURCE``, where SOURCE is the collected
facts of the table (edition, basic action, options of each row). Not here: reading the result
(``table``).

Notes
-----
The rows come from the MIT licensed extraction of PS3.15 2024b by innolitics/dicom-standard
(621 rows with all option columns), and the 35 rows that 2026c added from the BSD licensed
package dicom-anonymizer, which carries the basic action alone. For those 35 rows no option is
recorded, so no option loosens them: unknown means stricter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "data" / "ps3_15_e1_1.json"
EDITION = "2026c"
_USAGE_ERROR = 2


def make_table(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of the table: edition, sources, and one short row per attribute."""
    rows = {
        row["tag"].upper().replace(",", ""): [row["basic"], row["options"] or {}]
        for row in source["rows"]
    }
    return {
        "title": "DICOM PS3.15 Table E.1-1, Application Level Confidentiality Profile Attributes",
        "edition": EDITION,
        "sources": [
            "2024b, 621 rows: innolitics/dicom-standard (MIT)",
            "2026c, 35 further rows, basic action only: dicom-anonymizer 2.1.0 (BSD-3-Clause)",
        ],
        "rows": dict(sorted(rows.items())),
    }


def main() -> int:
    """Write the table from the source named on the command line."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.stderr.write("usage: python -m containers.scrub_headers.make_table SOURCE\n")
        return _USAGE_ERROR
    source = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = json.dumps(make_table(source), indent=1, ensure_ascii=False)
    TARGET.write_text(lines + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The table of measures, as another program reads it."""

from __future__ import annotations

import csv
import io
import json

from qc.pool import read_record
from qc.table import make_table


def record(software: str, modality: str, **values: object) -> str:
    return json.dumps(
        {
            "bids_meta": {"modality": modality},
            "provenance": {
                "software": software, "version": "1.2", "protocol_hash": "ab" * 8,
                "defaced": values.pop("defaced", None),
            },
            **values,
        }
    )  # fmt: skip


def test_a_table_is_read_back_by_names():
    """n/a where there is no value, MRIQC's -1 included; a name with a tab stays one cell."""
    rows = [
        read_record("b", record("winqc", "bold", tsnr=77.812345678, fber=-1.0, defaced=False)),
        read_record("a\tb", record("mriqc", "T1w", cjv=None, fber=-1.0)),
        read_record("a", record("winqc", "bold", tsnr=12, fd_num=3)),
    ]

    lines = list(csv.DictReader(io.StringIO(make_table(rows)), delimiter="\t"))

    assert [line["image"] for line in lines] == ["a\tb", "a", "b"]
    assert list(lines[0]) == [
        "image", "modality", "software", "version", "pipeline", "protocol_hash", "defaced",
        "cjv", "fber", "fd_num", "tsnr",
    ]  # fmt: skip
    assert [line["fber"] for line in lines] == ["n/a", "n/a", "-1"]
    assert [line["tsnr"] for line in lines] == ["n/a", "12", "77.81235"]
    assert [line["defaced"] for line in lines] == ["n/a", "n/a", "false"]
    assert [line["software"] for line in lines] == ["MRIQC", "winqc", "winqc"]
    assert [line["pipeline"] for line in lines] == ["n/a", "n/a", "n/a"]


def test_a_table_of_nothing_is_its_names():
    """One line, so that a program that reads it finds the columns."""
    assert make_table([]).splitlines() == [
        "image\tmodality\tsoftware\tversion\tpipeline\tprotocol_hash\tdefaced"
    ]

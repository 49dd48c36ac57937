"""XNAT's catalogues beside the files: known by what they are, and taken for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.archive_catalogs import is_catalog
from containers.dicom_to_bids.inventory import read_inventory
from containers.recordings.find import find_recordings
from tests.builders.dicom_images import image

# As XNAT writes it (xnat-data-models, catalog.xsd).
CATALOG = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<cat:DCMCatalog uid="1.2.3"'
    b' xmlns:cat="http://nrg.wustl.edu/catalog" xmlns:xsi="http://www.w3.org/2001/XMLSchema-'
    b'instance"><cat:entries></cat:entries></cat:DCMCatalog>\n'
)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("scan_1_catalog.xml", CATALOG, True),
        ("scan_1_catalog.xml", b"<notes>http://example.org</notes>", False),
        ("scan_1_catalog.xml", b"", False),
        ("scan_1.xml", CATALOG, False),
    ],
)
def test_a_catalogue_is_known_by_name_and_content(
    tmp_path: Path, name: str, content: bytes, *, expected: bool
):
    (tmp_path / name).write_bytes(content)

    assert is_catalog(tmp_path / name) is expected


def test_dicom_to_bids_does_not_count_it(tmp_path: Path):
    folder = tmp_path / "SCANS" / "1" / "DICOM"
    folder.mkdir(parents=True)
    (folder / "1.dcm").write_bytes(image())
    (folder / "scan_1_catalog.xml").write_bytes(CATALOG)

    assert read_inventory(tmp_path).other_file_count == 0


def test_recordings_pass_over_it_and_still_list_other_files(tmp_path: Path):
    (tmp_path / "EEG_catalog.xml").write_bytes(CATALOG)
    (tmp_path / "notes.xml").write_bytes(CATALOG)

    assert [found.path.name for found in find_recordings(tmp_path)] == ["notes.xml"]

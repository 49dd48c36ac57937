"""Records of local folders: names that tell images apart, addresses that hold elsewhere too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xnat_client.errors import BadInputError
from xnat_client.quality.files import Collection, digests_of, read_folders


def put(path: Path, software: str = "winqc", *, page: bool = False, **provenance: str) -> Path:
    """Write a record, and a page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"software": software, "version": "1.0", **provenance}
    path.write_text(json.dumps({"bids_meta": {"modality": "T1w"}, "provenance": about}))
    if page:
        path.with_suffix(".html").write_text("<p>its page</p>")
    return path


def names(collection: Collection) -> list[str]:
    """Return the names of all images."""
    return sorted(each.row.name for each in collection.found)


def test_the_same_file_name_in_two_folders_is_two_images(tmp_path: Path):
    """Each has the end of its folder's path in front that tells it from the other."""
    for site in ("north", "south"):
        put(tmp_path / site / "derivatives" / "sub-1_desc-winqc_T1w.json")

    collection = read_folders(
        [tmp_path / "north" / "derivatives", tmp_path / "south" / "derivatives"], tmp_path / "out"
    )

    assert names(collection) == ["north/derivatives/sub-1_T1w", "south/derivatives/sub-1_T1w"]
    assert collection.refused == []


def test_names_of_folders_are_repeated_only_where_they_are_needed(tmp_path: Path):
    """Folders may be called after people; two images of one name need theirs all the same."""
    put(tmp_path / "study" / "a-folder" / "sub-1_desc-winqc_T1w.json")
    for visit in ("ses-1", "ses-2"):
        put(tmp_path / "study" / visit / "image-7_desc-winqc_T1w.json")

    found = read_folders([tmp_path / "study"], tmp_path / "out")

    assert names(found) == ["ses-1/image-7_T1w", "ses-2/image-7_T1w", "sub-1_T1w"]


def test_a_folder_named_twice_or_within_another_is_read_once(tmp_path: Path):
    """The same file is one image, however many ways lead to it."""
    put(tmp_path / "study" / "sub-1" / "sub-1_desc-winqc_T1w.json")
    (tmp_path / "link").symlink_to(tmp_path / "study")

    found = read_folders(
        [tmp_path / "study", tmp_path / "study" / "sub-1", tmp_path / "link"], tmp_path / "out"
    )

    assert names(found) == ["sub-1_T1w"]


def test_a_second_record_of_one_name_is_refused_and_named(tmp_path: Path):
    """With and without winqc's mark the name is one; another software's record is no second."""
    put(tmp_path / "study" / "sub-1_desc-winqc_T1w.json")
    put(tmp_path / "study" / "sub-1_T1w.json")
    put(tmp_path / "study" / "mriqc" / "sub-1_T1w.json", "mriqc")

    collection = read_folders([tmp_path / "study"], tmp_path / "out")

    assert names(collection) == ["sub-1_T1w", "sub-1_T1w"]
    assert [each.row.software for each in collection.found] == ["MRIQC", "winqc"]
    assert collection.refused == ["sub-1_T1w: another record of the same kind has this name."]


def test_pages_have_addresses_relative_to_the_group_page(tmp_path: Path):
    """A page that is passed on holds no path of this machine; signs are quoted."""
    put(tmp_path / "study" / "a #1" / "x_T1w.json", page=True)

    collection = read_folders([tmp_path / "study"], tmp_path / "report" / "new")

    (found,) = collection.found
    assert found.page == "../../study/a%20%231/x_T1w.html"


def test_a_page_that_shares_only_the_root_has_no_address(tmp_path: Path):
    """A link from the root down would tell the disk's layout, and lead nowhere elsewhere."""
    put(tmp_path / "study" / "x_T1w.json", page=True)

    collection = read_folders([tmp_path / "study"], Path("/somewhere-else/out"))

    assert collection.found[0].page == ""


def test_a_folder_that_is_not_there_is_refused_before_any_is_read(tmp_path: Path):
    """And so is one without any record."""
    put(tmp_path / "study" / "x_T1w.json")

    with pytest.raises(BadInputError, match="not there"):
        read_folders([tmp_path / "study", tmp_path / "none"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="no record"):
        read_folders([tmp_path / "empty"], tmp_path / "out")


def test_damaged_records_are_named_with_the_reason_and_other_json_is_counted(tmp_path: Path):
    """A step's own report and a sidecar are sound files of another kind, no damaged records."""
    whole = put(tmp_path / "s" / "one_T1w.json").read_text()
    (tmp_path / "s" / "cut.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "s" / "empty.json").write_text(" \n")
    (tmp_path / "s" / "long.json").write_text(" " * (1 << 20) + "{}")
    (tmp_path / "s" / "spoilt.json").write_text(whole.replace(":", ";", 1))
    (tmp_path / "s" / "anonymous.json").write_text('{"bids_meta": {"modality": "T1w"}}')
    (tmp_path / "s" / "report.json").write_text('{"command": "winqc", "accounted": []}')
    (tmp_path / "s" / "sidecar.json").write_text('{"EchoTime": 0.03}')

    found = read_folders([tmp_path / "s"], tmp_path / "out")

    assert names(found) == ["one_T1w"]
    assert found.others == 2
    assert found.refused == [
        "anonymous.json: The record has no provenance: nobody knows what measured it.",
        "cut.json: The file is truncated: its JSON ends in the middle. Make it again.",
        "empty.json: The file is empty.",
        "long.json: The file is longer than 1 MiB; no record is.",
        "spoilt.json: The file is damaged: line 1 is no JSON. Make it again.",
    ]


def test_where_all_records_are_damaged_it_is_not_said_that_there_is_none(tmp_path: Path):
    """The sentence names the file and what is wrong with it."""
    whole = put(tmp_path / "s" / "one_T1w.json").read_text()
    (tmp_path / "s" / "one_T1w.json").write_text(whole[:40])

    with pytest.raises(BadInputError, match=r"1 could not be read: one_T1w\.json: .* truncated"):
        read_folders([tmp_path / "s"], tmp_path / "out")


def test_a_digest_on_which_records_differ_is_not_known(tmp_path: Path):
    """A record without a digest says nothing; two different ones leave it open which was seen."""
    put(tmp_path / "s" / "one_desc-winqc_T1w.json", input_sha256="a")
    put(tmp_path / "s" / "one_T1w.json", "mriqc")
    put(tmp_path / "s" / "two_desc-winqc_T1w.json", input_sha256="a")
    put(tmp_path / "s" / "two_T1w.json", "mriqc", input_sha256="b")

    found = read_folders([tmp_path / "s"], tmp_path / "out").found

    assert digests_of(found) == {"one_T1w": "a", "two_T1w": ""}

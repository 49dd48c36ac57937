"""The converter on mixed, odd and hostile folders: nothing stops the other scans or the program."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import MRSpectroscopyStorage, RLELossless

from containers.contract import BadInputError, OutOfResourcesError, StepError, StepReport
from containers.dicom_to_bids.convert import convert_session, short_scans, surplus_scans
from containers.dicom_to_bids.converter import Limits, folder_of_links
from containers.dicom_to_bids.inventory import read_inventory
from deploy.demo_session import DemoSession
from tests.builders.bids_conversion import all_bytes, convert, edit, series


def rows(report: StepReport) -> dict[str, str]:
    return {row.subject: row.outcome for row in report.accounted}


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def accounted_files(output: Path) -> int:
    """Return the sum of the DICOM files that the account has for its scans."""
    account = json.loads((output / "report/account.json").read_text())
    return sum(row["dicom_files"] for row in account)


def test_other_modality_is_left_out_with_reason(copy: Path, tmp_path: Path) -> None:
    """PET beside MR is left out and says so; the rest is converted."""

    def to_pet(dataset: pydicom.Dataset) -> None:
        dataset.Modality = "PT"
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"

    edit(all_files(series(copy, "bold")), to_pet)

    report, output = convert(copy, tmp_path)

    row = next(row for row in report.accounted if row.subject == "5")
    assert (row.outcome, row.outputs) == ("left-out", ())
    assert "positron emission tomography" in row.reason
    assert "magnetic resonance" in row.reason
    assert accounted_files(output) == len(all_files(copy))


def test_session_of_another_modality_is_refused(copy: Path, tmp_path: Path) -> None:
    """A session of PET alone is bad input, and the message names what is supported."""
    edit(all_files(copy), lambda dataset: setattr(dataset, "Modality", "PT"))

    with pytest.raises(BadInputError, match=r"positron emission tomography.*\(MR\) only"):
        convert(copy, tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.edf", "eeg-to-bids"), ("a.fif", "eeg-to-bids"), ("a.nii.gz", "NIfTI"), ("a.txt", "MR")],
)
def test_folder_of_something_else_is_refused(tmp_path: Path, name: str, hint: str) -> None:
    """A folder of EEG, MEG, NIfTI or texts is bad input, with what to do."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(b"0       something")

    with pytest.raises(BadInputError, match=hint):
        convert(folder, tmp_path)


def test_things_that_are_no_images_are_accounted_for(copy: Path, tmp_path: Path) -> None:
    """Spectra, reports and odd files make no image, and each is in the account once."""

    def to_spectrum(dataset: pydicom.Dataset) -> None:
        dataset.SOPClassUID = MRSpectroscopyStorage

    edit(all_files(series(copy, "localizer")), to_spectrum)
    for name in ("notes.txt", "späß & \\ 'x'.pdf", "-rf", "$(touch x)", ".hidden"):
        (copy / name).write_text("something")

    report, output = convert(copy, tmp_path)

    assert rows(report)["1"] == "left-out"
    assert report.facts["other_files"] == 5
    assert report.facts["input_files"] == len(all_files(copy))
    assert accounted_files(output) + 5 == len(all_files(copy))


def test_odd_file_names_change_nothing(
    copy: Path, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """Names with spaces, quotes, line breaks, dashes and other alphabets do no harm."""
    odd = ["a b", "'q'", '"d"', "line\nbreak", "-o", "%p_%s", "日本", "a" * 200, "$HOME", "*?"]
    for number, path in enumerate(all_files(series(copy, "bold"))):
        # In order, since the order of the files is no part of what is changed here.
        path.rename(path.with_name(f"{number:02d} {odd[number % len(odd)]}"))

    _, output = convert(copy, tmp_path)

    assert all_bytes(output / "bids") == all_bytes(converted[1] / "bids")


def test_compressed_pixels_give_the_same_voxels(
    copy: Path, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """A series packed by RLE gives the voxels of the plain one."""
    for path in all_files(series(copy, "t1")):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)

    _, output = convert(copy, tmp_path)

    (packed,), (plain,) = (list(each.rglob("*_T1w.nii.gz")) for each in (output, converted[1]))
    assert np.array_equal(
        np.asanyarray(nib.load(packed).dataobj), np.asanyarray(nib.load(plain).dataobj)
    )


def test_date_of_stars_is_no_obstacle(copy: Path, tmp_path: Path) -> None:
    """Dates masked with stars, as some exports have them, change no outcome."""
    for path in all_files(copy):
        content = path.read_bytes()
        for tag in (b"\x08\0\x20\0DA", b"\x08\0\x21\0DA", b"\x08\0\x22\0DA", b"\x10\0\x30\0DA"):
            place = content.find(tag)
            if place >= 0:
                length = int.from_bytes(content[place + 6 : place + 8], "little")
                start = place + 8
                content = content[:start] + b"*" * length + content[start + length :]
        path.write_bytes(content)

    report, _ = convert(copy, tmp_path)

    assert [rows(report)[scan_id] for scan_id in "23456"] == ["done"] * 5


def test_link_to_a_file_is_read_as_the_file(
    session: DemoSession, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """A session of links, as some archives keep them, is converted like the files."""
    for path in all_files(session.folder):
        link = tmp_path / "links" / path.relative_to(session.folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)

    _, output = convert(tmp_path / "links", tmp_path)

    assert all_bytes(output / "bids") == all_bytes(converted[1] / "bids")


def test_damaged_file_in_a_folder_of_all_scans(copy: Path, tmp_path: Path) -> None:
    """In one flat folder the remnant of the header tells which scan a cut file belongs to."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(all_files(copy)):
        shutil.copyfile(path, flat / f"{number:04d}")
    victim = next(
        path
        for path in all_files(flat)
        if pydicom.dcmread(path, stop_before_pixels=True).SeriesNumber == 5
    )
    # Cut behind the series' identifier, before the rows.
    victim.write_bytes(victim.read_bytes()[: victim.read_bytes().index(b"\x28\0\x10\0US")])

    report, output = convert(flat, tmp_path)

    assert rows(report)["5"] == "failed"
    assert [rows(report)[scan_id] for scan_id in "2346"] == ["done"] * 4
    assert accounted_files(output) == len(all_files(flat))


def test_damaged_file_of_no_known_scan_is_told(copy: Path, tmp_path: Path) -> None:
    """An empty file among files of all scans has a line of its own, and the scans stay."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(all_files(copy)):
        shutil.copyfile(path, flat / f"{number:04d}")
    (flat / "9999").touch()

    report, output = convert(flat, tmp_path)

    assert rows(report)["unattributed"] == "failed"
    assert [rows(report)[scan_id] for scan_id in "23456"] == ["done"] * 5
    assert accounted_files(output) == len(all_files(flat))


def test_slices_that_the_converter_drops_are_caught(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter that loses one slice of a scan: that scan is failed, the others are kept."""
    wrapper = tmp_path / "dcm2niix"
    # The real program, on all files but one: what a fault in it would amount to.
    wrapper.write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        f'rm -f "$last"/$(ls "$last" | sed -n \'{len(all_files(copy))}p\')\n'
        f'exec {dcm2niix.bin} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(dcm2niix, "bin", str(wrapper))

    report, _ = convert(copy, tmp_path / "work")

    (failed,) = [row for row in report.accounted if row.outcome == "failed"]
    assert "slices of the" in failed.reason
    assert list(rows(report).values()).count("done") >= 4


def test_time_limit_ends_a_converter_that_hangs(
    session: DemoSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter that does not end is ended, and the error says how long it had."""
    wrapper = tmp_path / "dcm2niix"
    wrapper.write_text("#!/bin/sh\nexec sleep 60\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(dcm2niix, "bin", str(wrapper))

    with pytest.raises(OutOfResourcesError, match="did not end within"):
        convert_session(
            read_inventory(session.folder), tmp_path, Limits(base_s=0.1, per_file_s=0.0)
        )


def test_scan_on_which_the_converter_hangs_leaves_the_others(
    session: DemoSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the converter hangs on one scan, this one is failed and the others converted."""
    victim = next(
        path for path in all_files(session.folder) if path.parent == series(session.folder, "bold")
    )
    wrapper = tmp_path / "dcm2niix"
    wrapper.write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        f'for each in "$last"/*; do [ "$(readlink $each)" = \'{victim}\' ] && exec sleep 60; done\n'
        f'exec {dcm2niix.bin} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(dcm2niix, "bin", str(wrapper))

    found = convert_session(
        read_inventory(session.folder), tmp_path, Limits(base_s=3.0, per_file_s=0.0)
    )

    assert set(found.failed) == {"5"}
    assert {scan_id for image in found.images for scan_id in image.scan_ids} == set("12346")


def test_random_damage_is_an_account_or_one_sentence(copy: Path, tmp_path: Path) -> None:
    """Whatever is done to files, there is a result with all of them, or an error of our own."""
    seeded = random.Random(11)  # noqa: S311 - no secret
    for turn in range(6):
        folder = Path(shutil.copytree(copy, tmp_path / f"in{turn}"))
        for path in seeded.sample(all_files(folder), 5):
            content = bytearray(path.read_bytes())
            for _ in range(16):
                content[seeded.randrange(len(content))] = seeded.randrange(256)
            path.write_bytes(content[: seeded.choice([len(content), len(content) // 2, 0, 300])])
        sentence = ""
        try:
            _, output = convert(folder, tmp_path / f"out{turn}")
        except StepError as error:
            sentence = str(error)
        else:
            assert accounted_files(output) <= len(all_files(folder))
        assert "DEMO" not in sentence


def test_more_slices_out_than_in_are_pointed_out(copy: Path, tmp_path: Path) -> None:
    """Each image handed on twice is told, scan by scan, with both numbers; as made, nothing."""
    inventory = read_inventory(copy)
    images = convert_session(inventory, tmp_path).images

    doubled = surplus_scans(inventory, [*images, *images])

    assert surplus_scans(inventory, images) == []
    assert short_scans(inventory, images) == {}
    assert len(doubled) == len({scan_id for image in images for scan_id in image.scan_ids})
    assert all("slices of the" in sentence for sentence in doubled)


def test_links_for_the_converter_are_taken_away(copy: Path, tmp_path: Path) -> None:
    """Neither the temporary folder nor the system's memory keeps a link to the input."""
    memory = Path("/dev/shm")  # noqa: S108 - only looked at

    convert_session(read_inventory(copy), tmp_path)

    links = [path for folder in (tmp_path, memory) for path in folder.rglob("*")]
    assert not [path for path in links if path.is_symlink() and copy in path.readlink().parents]


def test_links_of_a_killed_run_go_with_the_next(tmp_path: Path) -> None:
    """An old folder of links that nobody has locked is removed; a locked one stays."""
    memory = Path("/dev/shm")  # noqa: S108 - where links are made
    if not os.access(memory, os.W_OK):
        pytest.skip("the system offers no memory for files here")
    left, used = (Path(tempfile.mkdtemp(prefix="winxnat-links-", dir=memory)) for _ in range(2))
    for folder in (left, used):
        (folder / "00000001").symlink_to(tmp_path)
        os.utime(folder, (0, 0))
    descriptor = os.open(used, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with folder_of_links(tmp_path):
            found = (left.exists(), used.exists(), tmp_path.exists())
    finally:
        os.close(descriptor)
        shutil.rmtree(used)

    assert found == (False, True, True)

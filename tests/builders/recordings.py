"""Small recordings of every format, with marked identities in every place that can hold one.

Formats that a published writer exists for are written by it (edfio, pyEDFlib, pybv, MNE);
EEGLAB through SciPy. CTF and KIT are written here, field by field as MNE's readers take them:
they prove that we and MNE agree, not that a scanner writes so.
"""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

NAME = "PLANTEDNAME"
NUMBER = "PLANTEDID77"
STAFF = "PLANTEDSTAFF"
PLACE = "PLANTEDPLACE"
SERIAL = "PLANTEDSERIAL"
NOTE = "PLANTEDNOTE said so"
TOKENS = (NAME, NUMBER, STAFF, PLACE, SERIAL, "PLANTEDNOTE")
BORN = date(1971, 3, 4)
MEASURED = datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)
DATE_SPELLINGS = (
    *("19710304", "1971-03-04", "04-MAR-1971", "04.03.71"),
    *("20190506", "2019-05-06", "06-MAY-2019", "06-May-2019", "06.05.19"),
)
RATE_HZ = 100.0
CHANNELS = ("Fz", "Cz", "Pz")


def waves(seed: int = 1, channels: int = len(CHANNELS), samples: int = 400) -> Any:
    """Return smooth noise in volts, shape (channels, samples)."""
    return np.random.default_rng(seed).normal(0, 2e-5, (channels, samples))


def write_edf(path: Path, *, annotated: bool = True) -> Path:
    """Write EDF+ (EDF without annotations) with names, staff, dates and a note in it."""
    from edfio import Edf, EdfAnnotation, EdfSignal, Patient, Recording  # noqa: PLC0415 - the writer of one format

    signals = [
        EdfSignal(row * 1e6, RATE_HZ, label=name, physical_dimension="uV", transducer_type=STAFF)
        for name, row in zip(CHANNELS, waves(), strict=True)
    ]
    edf = Edf(
        signals,
        patient=Patient(code=NUMBER, sex="F", birthdate=BORN, name=NAME),
        recording=Recording(
            startdate=MEASURED.date(),
            hospital_administration_code=PLACE,
            investigator_technician_code=STAFF,
            equipment_code=SERIAL,
        ),
        starttime=MEASURED.time(),
        annotations=(
            [
                EdfAnnotation(0.5, None, "eyes open"),
                EdfAnnotation(1.0, 0.5, NOTE),
                EdfAnnotation(2.0, None, "eyes closed"),
            ]
            if annotated
            else None
        ),
    )
    edf.write(path)
    return path


def write_bdf(path: Path) -> Path:
    """Write BDF+ with names, staff, dates and a note in it."""
    import pyedflib  # noqa: PLC0415 - the writer of one format

    writer = pyedflib.EdfWriter(str(path), len(CHANNELS), file_type=pyedflib.FILETYPE_BDFPLUS)
    writer.setPatientName(NAME)
    writer.setPatientCode(NUMBER)
    writer.setBirthdate(BORN)
    writer.setTechnician(STAFF)
    writer.setAdmincode(PLACE)
    writer.setEquipment(SERIAL)
    writer.setPatientAdditional(NAME)
    writer.setStartdatetime(MEASURED.replace(tzinfo=None))
    for number, name in enumerate(CHANNELS):
        writer.setSignalHeader(
            number,
            {
                "label": name,
                "dimension": "uV",
                "sample_frequency": RATE_HZ,
                "physical_max": 500.0,
                "physical_min": -500.0,
                "digital_max": 8388607,
                "digital_min": -8388608,
                "prefilter": "HP:DC; LP:20 Hz",
                "transducer": SERIAL,
            },
        )
    writer.writeSamples(list(waves() * 1e6))
    writer.writeAnnotation(1.0, -1, NOTE)
    writer.writeAnnotation(2.0, -1, "eyes closed")
    writer.close()
    return path


def write_brainvision(folder: Path, stem: str) -> Path:
    """Write a triplet with a comment, a date in the first marker, and a note."""
    from pybv import write_brainvision as write  # noqa: PLC0415 - the writer of one format

    write(
        data=waves(),
        sfreq=RATE_HZ,
        ch_names=list(CHANNELS),
        fname_base=stem,
        folder_out=str(folder),
        events=[
            {"onset": 100, "duration": 1, "description": 1, "type": "Stimulus"},
            {"onset": 200, "duration": 1, "description": NOTE, "type": "Comment"},
            {"onset": 300, "duration": 1, "description": 1, "type": "Stimulus"},
        ],
        meas_date=MEASURED.replace(tzinfo=None),
    )
    header = folder / f"{stem}.vhdr"
    before, _found, comment = header.read_text("utf-8").partition("[Comment]")
    header.write_text(
        f"{before}[User Infos]\nProp1=string,subject,{NUMBER}\n\n[Comment]{comment}\n"
        f"Patient name: {NAME}\nOperator: {STAFF}\nBorn 1971-03-04\n",
        encoding="utf-8",
    )
    with (folder / f"{stem}.vmrk").open("a", encoding="utf-8") as file:
        file.write(f"; exported by {STAFF} on 2019-05-06\n")
    return header


def write_eeglab(folder: Path, stem: str, *, apart: bool, up_m: float = 0.09) -> Path:
    """Write a data set, its samples apart in a .fdt or within; electrodes so high."""
    data = waves().astype("<f4") * 1e6
    channels = np.empty((1, len(CHANNELS)), dtype=[(n, object) for n in ("labels", "X", "Y", "Z")])
    for number, name in enumerate(CHANNELS):
        channels[0, number] = (name, 0.01 * number, 0.02, up_m)
    events = np.empty((1, 3), dtype=[(n, object) for n in ("type", "latency", "operator")])
    for number, text in enumerate(("square", NOTE, "rt")):
        events[0, number] = (text, 100.0 * (number + 1), STAFF)
    fields: dict[str, Any] = {
        "setname": NAME,
        "filename": f"{NAME}.set",
        "filepath": f"/home/{STAFF}/studies",
        "subject": NUMBER,
        "comments": np.array([f"recorded by {STAFF} on 2019-05-06", f"born 1971-03-04 {NAME}"]),
        "history": f"EEG = pop_loadset('{NAME}.set');",
        "etc": {"clinic": PLACE, "amplifier": SERIAL},
        "nbchan": float(len(CHANNELS)),
        "trials": 1.0,
        "pnts": float(data.shape[1]),
        "srate": RATE_HZ,
        "xmin": 0.0,
        "xmax": (data.shape[1] - 1) / RATE_HZ,
        "times": np.zeros((0, 0)),
        "ref": STAFF,
        "chanlocs": channels,
        "event": events,
        "icawinv": np.zeros((0, 0)),
        "icasphere": np.zeros((0, 0)),
        "icaweights": np.zeros((0, 0)),
        "icaact": np.zeros((0, 0)),
        "epoch": np.zeros((0, 0)),
        "data": f"{stem}.fdt" if apart else data,
    }
    savemat(folder / f"{stem}.set", {"EEG": fields}, appendmat=False)
    if apart:
        (folder / f"{stem}.fdt").write_bytes(data.T.tobytes())
    return folder / f"{stem}.set"


def write_fif(path: Path, *, split: bool = False, seed: int = 1, dug: bool = False) -> Path:
    """Write a raw MEG and EEG recording with everything that MNE writes of people and places."""
    import mne  # noqa: PLC0415 - the writer of one format

    names = ["MEG0111", "MEG0112", "MEG0113", "EEG001", "STI101"]
    info = mne.create_info(names, RATE_HZ, ["mag", "grad", "grad", "eeg", "stim"])
    for number, channel in enumerate(info["chs"][:3]):
        channel["coil_type"] = 3024 if number == 0 else 3012
        channel["loc"] = np.array([0.01 * number, 0, 0.1, 1, 0, 0, 0, 1, 0, 0, 0, 1], float)
    samples = waves(seed, len(names), 200_000 if split else 400)
    samples[:4] *= 1e-7
    samples[4] = 0
    samples[4, 100:110] = 3
    samples[4, 200:210] = 5
    raw = mne.io.RawArray(samples, info, verbose="error")
    if dug:
        points = {"nasion": [0, 0.1, 0], "lpa": [-0.07, 0, 0], "rpa": [0.07, 0, 0]}
        raw.set_montage(
            mne.channels.make_dig_montage(
                {"EEG001": [0.0, 0.0, 0.1]}, **{k: np.array(v) for k, v in points.items()}
            )
        )
    raw.set_meas_date(MEASURED)
    raw.set_annotations(
        mne.Annotations([0.5, 1.0], [0.1, 0.1], ["BAD_blink", NOTE], orig_time=MEASURED)
    )
    with raw.info._unlock():
        raw.info["subject_info"] = {
            "id": 77,
            "his_id": NUMBER,
            "first_name": NAME,
            "middle_name": NAME,
            "last_name": NAME,
            "birthday": BORN,
            "sex": 2,
            "hand": 1,
        }
        raw.info["experimenter"] = STAFF
        raw.info["description"] = f"{NAME} at {PLACE}"
        raw.info["proj_name"] = STAFF
        raw.info["proj_id"] = 77
        raw.info["acq_pars"] = f"ACQname {NAME}"
        raw.info["acq_stim"] = f"stim {NAME}"
        raw.info["device_info"] = {
            "type": "VectorView",
            "model": "306",
            "serial": SERIAL,
            "site": PLACE,
        }
        raw.info["helium_info"] = {
            "he_level_raw": 1.0,
            "helium_level": 2.0,
            "orig_file_guid": SERIAL,
            "meas_date": MEASURED,
        }
        raw.info["utc_offset"] = "+02:00"
        raw.info["proc_history"] = [_processing_record()]
    raw.save(path, split_size="2MB" if split else "2GB", verbose="error")
    return path


def _processing_record() -> dict[str, Any]:
    identifier = {
        "version": 65540,
        "machid": np.array([77, 78], np.int32),
        "secs": int(MEASURED.timestamp()),
        "usecs": 0,
    }
    return {
        "block_id": identifier,
        "date": (int(MEASURED.timestamp()), 0),
        "experimenter": STAFF,
        "creator": f"maxfilter run by {STAFF}",
        "max_info": {"sss_info": {"job": 2, "frame": 4, "in_order": 8, "nfree": 5}},
    }


def write_ctf(folder: Path, stem: str) -> Path:
    """Write a folder with header, samples, coils, markers and helper files that hold identities."""
    main = folder / f"{stem}.ds"
    main.mkdir()
    names = ["MLC11-1609", "MRC11-1609", "BG1-1609", "UPPT001"]
    samples = np.random.default_rng(1).integers(-1000, 1000, (len(names), 800)).astype(">i4")
    (main / f"{stem}.res4").write_bytes(_res4(names, samples.shape[1]))
    (main / f"{stem}.meg4").write_bytes(b"MEG41CP\x00" + samples.tobytes())
    coils = "".join(
        f"{kind} {place} coil position relative to {frame} (cm):\n\tx = {x}\n\ty = {y}\n\tz = 0.5\n"
        for kind, frame in (("standard", "dewar"), ("measured", "dewar"), ("measured", "head"))
        for place, x, y in (("nasion", 9.0, 0.1), ("left ear", 0.1, 7.0), ("right ear", 0.2, -7.0))
    )
    (main / f"{stem}.hc").write_text(f"# {NAME} {STAFF}\n{coils}")
    (main / "MarkerFile.mrk").write_text(
        f"PATH OF DATASET:\n/data/{NAME}/{stem}.ds\n\n\nNUMBER OF MARKERS:\n2\n\n\n"
        + "".join(
            f"CLASSGROUPID:\n3\nNAME:\n{label}\nCOMMENT:\n{STAFF}\nCOLOR:\nblue\nEDITABLE:\nYes\n"
            f"CLASSID:\n1\nNUMBER OF SAMPLES:\n1\nLIST OF SAMPLES:\n"
            f"TRIAL NUMBER\t\tTIME FROM SYNC POINT (in seconds)\n+0\t\t\t\t+{second}\n\n\n"
            for label, second in (("stim", 1.0), ("PLANTEDNOTE", 2.0))
        )
    )
    (main / "BadChannels").write_text("MRC11\n")
    (main / "bad.segments").write_text("1\t0.5\t0.6\n")
    (main / "ClassFile.cls").write_text(f"PATH OF DATASET:\n/data/{NAME}\n")
    (main / f"{stem}.hist").write_text(f"{NAME} collected by {STAFF} 2019-05-06\n")
    (main / f"{stem}.infods").write_bytes(
        b"WS1_" + b"_PATIENT_NAME_FIRST\x00\x00\x00\x0a\x00\x00\x00\x0b" + NAME.encode()
    )
    (main / f"{stem}.newds").write_text(f"operator {STAFF}\n")
    (main / f"{stem}.acq").write_bytes(b"WS1_" + STAFF.encode())
    (main / f"{stem}.xml").write_text(f"<patient><name>{NAME}</name></patient>")
    inner = main / "hz.ds"
    inner.mkdir()
    (inner / "hz.hist").write_text(NAME)
    return main


def _res4(names: list[str], samples: int) -> bytes:
    head = bytearray(1844)

    def put(offset: int, text: str) -> None:
        head[offset : offset + len(text)] = text.encode()

    head[:8] = b"MEG41RS\x00"
    put(8, STAFF)
    put(264, PLACE)
    put(520, NAME)
    put(778, "07:08")
    put(1033, "06-May-2019")
    # Samples of a trial, channels, (padding), rate, length of a trial, trials.
    struct.pack_into(">ihxxdd", head, 1288, samples, len(names), RATE_HZ, samples / RATE_HZ)
    struct.pack_into(">h", head, 1312, 1)
    put(1360, "run")
    put(1392, NAME)
    put(1648, SERIAL)
    put(1680, PLACE)
    put(1712, NUMBER)
    put(1744, STAFF)
    put(1776, f"/odb/{SERIAL}.sens")
    description = f"{NAME} born 1971-03-04".encode() + b"\x00"
    struct.pack_into(">i", head, 1836, len(description))
    out = bytes(head) + description
    out += struct.pack(">h", 1) + struct.pack(">diih", 30.0, 1, 1, 1) + struct.pack(">d", 4.0)
    for name in names:
        out += name.encode().ljust(16, b"\x00") + NAME.encode().ljust(16, b"\x00")
    for number, _name in enumerate(names):
        out += _ctf_channel((5, 5, 0, 11)[number], number)
    out += (
        struct.pack(">h", 1) + b"MLC11-1609".ljust(16, b"\x00") + NAME.encode().ljust(16, b"\x00")
    )
    # First-order balancing by one reference; then what is in unused places, and behind the end.
    out += struct.pack(">iih", 0x47314252, 0, 1) + b"BG1-1609".ljust(31, b"\x00")
    out += NAME.encode().ljust(31 * 49, b"\x00") + struct.pack(">d", 0.1)
    return out + NAME.encode().ljust(8 * 49, b"\x00") + NAME.encode()


def _ctf_channel(kind: int, number: int) -> bytes:
    out = struct.pack(">hhi", kind, 0, 0) + struct.pack(">dddd", 1e9, 1048576.0, 1.0, 0.0)
    out += struct.pack(">hhi", 1, 0, 0)
    coil = struct.pack(">3dd3dd", 1.0 + number, 2.0, 30.0, 0, 0, 0, 1.0, 0)
    coil += struct.pack(">hih", 1, 0, 0) + struct.pack(">d", 2.5)
    return out + (coil + bytes(80 * 7)) + (coil + bytes(80 * 7))


def write_kit(path: Path) -> Path:
    """Write a recording of two gradiometers and a trigger, with comment, clock and paths."""
    count = 32
    entry = struct.Struct("<iiii")
    sections: dict[int, tuple[bytes, int, int]] = {}
    system = struct.pack("<iii", 2, 4, 34) + PLACE.encode().ljust(128, b"\x00")
    system += SERIAL.encode().ljust(128, b"\x00") + struct.pack("<i", 3)
    system += f"{NAME} by {STAFF}".encode().ljust(256, b"\x00")
    system += struct.pack("<ii", int(MEASURED.timestamp()), int(MEASURED.timestamp()))
    numbers = [0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 0, 0, 1, *([0] * 29)]
    system += struct.pack(f"<{len(numbers)}i", *numbers) + struct.pack("<diii", 10.0, 0, 16, 16)
    sections[1] = (system, len(system), 1)
    sections[2] = (NAME.encode() + b"\x00" + NUMBER.encode(), 64, 1)
    channels = b""
    for number in range(2):
        one = struct.pack("<i5d", 2, 0.01 * number, 0.02, 0.1, 10.0, 20.0) + bytes(16)
        channels += (one + f"G{number}".encode().ljust(6, b"\x00")).ljust(96, b"\x00")
    one = struct.pack("<iii", -1, 1, 0) + b"TRIG".ljust(16, b"\x00") + NAME.encode().ljust(16)
    channels += one.ljust(96, b"\x00")
    sections[4] = (channels, 96, 3)
    sections[5] = (struct.pack("<6d", 0, 1e-9, 0, 1e-9, 0, 1.0), 48, 1)
    sections[7] = (struct.pack("<i", 0), 4, 1)
    samples = np.random.default_rng(1).integers(-1000, 1000, (400, 3)).astype("<i2")
    sections[8] = (struct.pack("<idii", 1, RATE_HZ, 0, len(samples)), 20, 1)
    sections[9] = (samples.tobytes(), 2, samples.size)
    markers = struct.pack("<i", 1) + bytes(256) + struct.pack("<i", 5)
    for number in range(5):
        markers += struct.pack("<4i6d", 0, 0, 1, 1, 0, 0, 0, 0.01 * number, 0.02, 0.03)
    markers += f"/data/{NAME}/one.mrk".encode().ljust(256, b"\x00")
    sections[12] = (markers, len(markers), 1)
    sections[15] = (f"bookmark of {STAFF} 2019-05-06".encode(), 64, 1)
    offset = entry.size * count
    table, body = b"", b""
    for number in range(count):
        content, size, items = sections.get(number, (b"", 0, 0))
        content = content.ljust(size * items, b"\x00")
        if number == 0:
            table += entry.pack(0, entry.size, count, count)
        else:
            table += entry.pack(offset + len(body) if items else 0, size, items, items)
        body += content
    path.write_bytes(table + body)
    return path


def write_kit_set(folder: Path, stem: str) -> Path:
    """Write a recording with a file of markers and points of a digitiser, as in Polhemus files."""
    main = write_kit(folder / f"{stem}.con")
    without_samples = bytearray(main.read_bytes())
    struct.pack_into("<iiii", without_samples, 16 * 9, 0, 0, 0, 0)
    (folder / f"{stem}_mrk.mrk").write_bytes(bytes(without_samples))
    fiducials = (
        "//Position of fiducials X+, Y+, Y- on the subject\n"
        "%F\t0.11\t0.0\t0\t\n%F\t0.0\t0.08\t0.0\t\n%F\t0.0\t-0.08\t0.0\t\n"
    )
    coils = "".join(
        f"//Sensor type\n%S\t4000\n//Sensor name and data for sensor # {number}\n%N\t{NAME}\n"
        f"0.0{number}\t0.07\t0.0{9 - number}\t\n"
        for number in range(1, 6)
    )
    (folder / f"{stem}.elp").write_text(
        "3\t2\n//Probe file\n//Minor revision number\n1\n//ProbeName\n"
        f"%N\t{NAME}\n//Probe type, number of sensors\n0\t5\n{fiducials}{coils}"
    )
    points = np.random.default_rng(3).normal(0, 0.08, (40, 3))
    rows = "".join("{:.6f} {:.6f} {:.6f}\n".format(*row) for row in points)
    (folder / f"{stem}.hsp").write_text(
        f"3\t200\n//Shape file\n//Minor revision number\n2\n//Subject Name\n%N\t{NAME}\n"
        f"////Shape code, number of digitized points\n0\t{len(points)}\n{fiducials}"
        f"//No of rows, no of columns; position of digitized points\n{len(points)}\t3\n{rows}"
    )
    return main

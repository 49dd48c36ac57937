"""How many planted identities each de-identifier leaves, ours and others, on one corpus.

Run: ``.venv/bin/python tests/benchmarks/bench_leaks.py [--peers PYTHON] [--samples FOLDER]``

PYTHON is the interpreter of an environment of its own that has ``dicom-anonymizer``, ``dicognito``
and ``deid``; ``gdcmanon`` and ``dcmodify`` are looked for on the path. What is absent is named and
left out. A file that a tool refuses or fails on counts as no leak, and is counted beside. The
corpus is that of the tests; with FOLDER (the sample data) it holds real files as well.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pydicom.tag import Tag

from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.hostile_places import hostile_corpus
from tests.builders.planted_places import synthetic_corpus
from tests.builders.planted_tokens import PlantedFile, leaks
from tests.builders.planted_vendor import vendor_corpus

LIMIT_S = 120
DICOM_ANONYMIZER = """
import sys
from pathlib import Path
from dicomanonymizer import anonymize_dicom_file
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        anonymize_dicom_file(str(path), str(Path(sys.argv[2]) / path.name),
                             delete_private_tags={delete})
    except Exception:
        (Path(sys.argv[2]) / path.name).unlink(missing_ok=True)
"""
DICOGNITO = """
import sys
from pathlib import Path
import pydicom
from dicognito.anonymizer import Anonymizer
anonymizer = Anonymizer(seed="bench")
for path in sorted(Path(sys.argv[1]).iterdir()):
    target = Path(sys.argv[2]) / path.name
    try:
        dataset = pydicom.dcmread(path)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)
    except Exception:
        target.unlink(missing_ok=True)
"""
DEID = """
import sys
from pathlib import Path
from deid.dicom import get_identifiers, replace_identifiers
for path in sorted(Path(sys.argv[1]).iterdir()):
    target = Path(sys.argv[2]) / path.name
    try:
        files = [str(path)]
        found = get_identifiers(files, strip_sequences={strip}, force=True)
        cleaned = replace_identifiers(files, ids=found, save=False, strip_sequences={strip},
                                      remove_private=True, force=True)
        cleaned[0].save_as(target)
    except Exception:
        target.unlink(missing_ok=True)
"""
RECIPE = """
import sys
from pathlib import Path
import pydicom
def names(dataset, element):
    if element.VR == "PN":
        element.value = "anonymous"
for path in sorted(Path(sys.argv[1]).iterdir()):
    target = Path(sys.argv[2]) / path.name
    try:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "id"
        dataset.walk(names)
        dataset.remove_private_tags()
        for keyword in ("OtherPatientIDs", "OtherPatientIDsSequence"):
            if keyword in dataset:
                delattr(dataset, keyword)
        if "PatientBirthDate" in dataset:
            dataset.PatientBirthDate = ""
        dataset.save_as(target)
    except Exception:
        target.unlink(missing_ok=True)
"""
PYTHON_PEERS = {
    "dicom-anonymizer": DICOM_ANONYMIZER.format(delete=True),
    "dicom-anonymizer, private kept": DICOM_ANONYMIZER.format(delete=False),
    "dicognito": DICOGNITO,
    "deid, default recipe": DEID.format(strip=False),
    "deid, sequences stripped": DEID.format(strip=True),
    "pydicom's documented recipe": RECIPE,
}
ERASED = (
    "PatientName PatientID PatientBirthDate PatientSex PatientAge OtherPatientIDs PatientAddress "
    "ReferringPhysicianName InstitutionName InstitutionAddress StationName DeviceSerialNumber "
    "AccessionNumber StudyID OperatorsName PerformingPhysicianName StudyDate SeriesDate"
)

Tool = Callable[[Path, Path], None]


def ours(profile_name: str) -> Tool:
    """Return the scrubber under one profile."""
    profile = load_profile(profile_name)
    pseudonyms, known = Pseudonyms(bytes(range(32)), "participant"), KnownIdentities()

    def scrub(source: Path, target: Path) -> None:
        for path in sorted(source.iterdir()):
            try:
                scrub_dicom(path, target / path.name, profile, pseudonyms, known)
            except RefusedFileError:
                continue

    return scrub


def python_peer(python: Path, program: str) -> Tool:
    """Return a tool that runs a program in the environment of the other tools."""

    def run(source: Path, target: Path) -> None:
        command = [python, "-W", "ignore", "-c", program, source, target]
        try:
            subprocess.run(command, check=False, capture_output=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            print(f"stopped after {LIMIT_S} s; what it had not written counts as refused")

    return run


def dcmodify(source: Path, target: Path) -> None:
    """Erase the usual attributes and all private ones, with new UIDs."""
    # By number: a retired keyword that it does not know makes it write nothing at all.
    numbers = [Tag(keyword) for keyword in ERASED.split()]
    erased = [part for tag in numbers for part in ("-ea", f"({tag.group:04X},{tag.element:04X})")]
    for path in sorted(source.iterdir()):
        copy = Path(shutil.copy(path, target / path.name))
        command = ["dcmodify", "-nb", "-ep", "-imt", *erased, "-gst", "-gse", "-gin", copy]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            copy.unlink()


def gdcmanon(source: Path, target: Path) -> None:
    """Run gdcmanon file by file with removal of the attributes that it lists."""
    for path in sorted(source.iterdir()):
        result = target / path.name
        command = ["gdcmanon", "--dumb", "--remove", "10,10", "--remove", "10,20", path, result]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            result.unlink(missing_ok=True)


def score(corpus: list[PlantedFile], tool: Tool) -> tuple[Counter[str], int]:
    """Return the leaks by kind, and the number of files that were refused."""
    found: Counter[str] = Counter()
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        target.mkdir()
        for number, planted in enumerate(corpus):
            (source / f"{number:04d}.dcm").write_bytes(planted.data)
        tool(source, target)
        for number, planted in enumerate(corpus):
            result = target / f"{number:04d}.dcm"
            if not result.is_file():
                refused += 1
                continue
            found[planted.kind] += len(leaks(planted, result.read_bytes()))
    return found, refused


def tools(peers: Path | None) -> dict[str, Tool]:
    """Return the tools that are here, and name those that are not."""
    found: dict[str, Tool] = {"winxnat, external": ours("external"), "winxnat, open": ours("open")}
    if peers is None:
        print("left out: Python tools (no --peers)")
    else:
        found |= {name: python_peer(peers, text) for name, text in PYTHON_PEERS.items()}
    for name, tool in {"dcmodify": dcmodify, "gdcmanon": gdcmanon}.items():
        if shutil.which(name):
            found[name] = tool
        else:
            print(f"left out: {name} (not on the path)")
    return found


def main() -> None:
    """Print the table: leaks by kind of place and tool."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--peers", type=Path, help="interpreter with the other tools")
    parser.add_argument("--samples", type=Path, help="folder of the sample data")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    corpus = synthetic_corpus() + hostile_corpus()
    if options.samples:
        corpus += vendor_corpus(options.samples)
    places = Counter[str]()
    for planted in corpus:
        places[planted.kind] += len(planted.tokens)
    results = {}
    for name, tool in tools(options.peers).items():
        results[name] = score(corpus, tool)
        print(f"{name}: {results[name][0].total()} of {places.total()}", file=sys.stderr)
    print("| places | " + " | ".join(["n", *results]) + " |")
    print("|---" * (len(results) + 2) + "|")
    for kind, number in places.items():
        row = [str(found[kind]) for found, _ in results.values()]
        print(f"| {kind} | {number} | " + " | ".join(row) + " |")
    totals = [str(found.total()) for found, _ in results.values()]
    print(f"| **all** | {places.total()} | " + " | ".join(totals) + " |")
    refused = [str(number) for _, number in results.values()]
    print(f"| files refused or failed | {len(corpus)} | " + " | ".join(refused) + " |")


if __name__ == "__main__":
    main()

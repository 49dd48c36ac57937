"""No planted identity is left anywhere in what the scrubber writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import Profile, load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.planted_places import SYNTHETIC, synthetic_corpus
from tests.builders.planted_tokens import PlantedFile, Tokens, leaks
from tests.builders.planted_vendor import vendor_corpus

SECRET = bytes(range(32))
RELEASE_PROFILES = ("external", "open")
# Kinds of files that must be held back as a whole.
REFUSED_KINDS = frozenset({"other classes", "burned in"})
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


class Scrubbing:
    """One participant's scrubbing, by file content."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self._folder = folder
        self._profile = profile
        self._pseudonyms = Pseudonyms(SECRET, "participant one")
        self._known = KnownIdentities()
        self._number = 0

    def __call__(self, content: bytes) -> bytes | None:
        """Return the scrubbed content; None where the file was refused."""
        self._number += 1
        source = self._folder / f"{self._number}.in"
        target = self._folder / f"{self._number}.out"
        source.write_bytes(content)
        try:
            scrub_dicom(source, target, self._profile, self._pseudonyms, self._known)
        except RefusedFileError:
            assert not target.exists()
            return None
        assert source.read_bytes() == content
        return target.read_bytes()


@pytest.fixture(params=RELEASE_PROFILES)
def scrub(request: pytest.FixtureRequest, tmp_path: Path) -> Scrubbing:
    """Scrubbing by each profile under which data leave the site."""
    return Scrubbing(tmp_path, load_profile(request.param))


def leaked(corpus: list[PlantedFile], scrub: Callable[[bytes], bytes | None]) -> list[str]:
    """Return every place of a corpus of which the token is found in the output."""
    found = []
    for planted in corpus:
        output = scrub(planted.data)
        if output is not None:
            found += [f"{planted.name}: {place}" for place in leaks(planted, output)]
    return found


def test_the_search_finds_every_token_where_it_was_planted():
    """A search that missed a token in the source could not see it leak."""
    corpus = synthetic_corpus()
    missed = {
        f"{planted.name}: {place}"
        for planted in corpus
        for place in planted.tokens.keys() - set(leaks(planted, planted.data))
    }
    assert not missed
    assert sum(len(planted.tokens) for planted in corpus) > 3000
    assert len({planted.kind for planted in corpus}) >= 20


@pytest.mark.parametrize("build", SYNTHETIC, ids=lambda build: build.__name__)
def test_no_token_survives_in_a_made_image(build: Callable[..., list], scrub: Scrubbing):
    """Whatever the place, the token is gone or the file is held back."""
    assert leaked(list(build(Tokens())), scrub) == []


def test_what_is_no_image_is_held_back(scrub: Scrubbing):
    """Documents, reports, captures, and images with burned-in text are refused."""
    passed = [
        planted.name
        for planted in synthetic_corpus()
        if planted.kind in REFUSED_KINDS and scrub(planted.data) is not None
    ]
    assert passed == []


def test_images_are_not_held_back_for_what_was_planted(scrub: Scrubbing):
    """The corpus tests cleaning: of the files that are images, hardly any may be refused."""
    doubtful = REFUSED_KINDS | {"pixel streams"}
    images = [each for each in synthetic_corpus() if each.kind not in doubtful]
    refused = [planted.name for planted in images if scrub(planted.data) is None]
    assert len(refused) <= 3, refused


@pytest.mark.samples
@pytest.mark.slow
def test_no_token_survives_in_real_files(samples: Path, scrub: Scrubbing):
    """Every text and block of Siemens, GE, Philips and UIH files is cleaned."""
    corpus = vendor_corpus(samples)
    assert sum(len(planted.tokens) for planted in corpus) > 2500
    assert leaked(corpus, scrub) == []


@pytest.mark.samples
def test_real_files_keep_what_conversion_needs(samples: Path, scrub: Scrubbing):
    """The corpus is not passed by removing all: cleaned real files keep their vendor blocks."""
    needed = {
        "Siemens-VE11": (0x00291010, 0x00291020),
        "Siemens-XA30": (0x00211019,),
        "GE-DV26": (0x0025101B, 0x0043102A, 0x00431039),
        "Philips": (0x2005140F, 0x2005100E),
        "UIH": (0x00651050,),
    }
    seen = set()
    for planted in vendor_corpus(samples):
        if planted.kind != "vendor, usual attributes":
            continue
        output = scrub(planted.data)
        assert output is not None, planted.name
        dataset = pydicom.dcmread(io.BytesIO(output), stop_before_pixels=True)
        for series, tags in needed.items():
            if planted.name.startswith(series):
                assert [tag for tag in tags if tag not in dataset] == [], planted.name
                seen.add(series)
    assert seen == needed.keys()


@pytest.mark.samples
def test_ages_of_the_oldest_are_not_told(samples: Path, scrub: Scrubbing):
    """An age above 89 is written as 90, or not at all."""
    seen = 0
    for planted in vendor_corpus(samples):
        if planted.kind == "vendor, usual attributes":
            output = scrub(planted.data)
            assert output is not None, planted.name
            dataset = pydicom.dcmread(io.BytesIO(output), stop_before_pixels=True)
            assert str(dataset.get("PatientAge", "")) in {"", "090Y"}, planted.name
            seen += 1
    assert seen >= 5

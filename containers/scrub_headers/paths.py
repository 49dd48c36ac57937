"""Names of files and folders without identities.

A name stays when all its words are known ones or small numbers; anything else becomes a keyed
code, the same for the same name. BIDS subjects and sessions get new labels everywhere. Not here:
the content of files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.prose import is_plain_label
from containers.scrub_headers.pseudonyms import Pseudonyms

WORDS = frozenset(
    """
    scans dicom dicomdir nifti bids raw secondary resources assessors report derivatives sourcedata
    rawdata anat func dwi fmap perf pet meg eeg ieeg nirs beh mrs motion micr phenotype scan
    t1w t2w t2star t2starw flair pd pdw pdt2 inplanet1 inplanet2 bold sbref cbv asl aslcontext
    m0scan phase phase1 phase2 phasediff magnitude magnitude1 magnitude2 epi fieldmap mp2rage
    unit1 megre mese vfa irt1 tb1epi tb1afi tb1map rb1cor mtr mts mpm uni inv1 inv2 defacemask mask
    dseg probseg events physio stim channels electrodes coordsystem headshape photo markers
    participants samples sessions dataset description readme changes license scanner localizer
    localiser scout mprage mpr tfl tse spc space gre ep2d epse bval bvec mr ct pt se t1 t2 pd
    diffusion rest task mag ph adc fa tracew trace colfa sag cor tra ax axial coronal sagittal
    """.split()  # noqa: SIM905 - words are read and added more easily like this
)
"""Words of file names that say nothing about a person (BIDS, XNAT, pulse sequences)."""
_ENTITY = re.compile(
    r"(task|acq|ce|trc|stain|rec|dir|run|mod|echo|flip|inv|mt|part|proc|hemi|space|split|recording"
    r"|chunk|seg|res|den|label|desc|tracksys|sample|voi|nuc)-([A-Za-z0-9]{1,32})"
)
_SUBJECT = re.compile(r"(?<![A-Za-z0-9])sub-([A-Za-z0-9]+)")
_SESSION = re.compile(r"(?<![A-Za-z0-9])ses-([A-Za-z0-9]+)")
_PLAIN_SESSION = re.compile(
    r"\d{1,2}|[A-Za-z]{1,2}\d{1,2}|baseline|followup|pre|post|screening|test|retest",
    re.IGNORECASE,
)
_SMALL_NUMBER = re.compile(r"\d{1,3}")
_LABEL_CODE_LENGTH = 10
SUFFIXES = frozenset(
    {".nii", ".gz", ".hdr", ".img", ".json", ".tsv", ".bval", ".bvec", ".dcm", ".edf", ".bdf",
     ".vhdr", ".vmrk", ".eeg", ".set", ".fdt", ".fif", ".ds", ".con", ".sqd"}
)  # fmt: skip


@dataclass(frozen=True)
class Naming:
    """How the names of one input become names of the output.

    Parameters
    ----------
    pseudonyms : Pseudonyms
        Makes the codes, and holds the label of the only subject.
    known : KnownIdentities
        A name that touches one of these is replaced whole.
    one_subject : bool
        Whether all data get the label that ``pseudonyms`` holds.
    session_label : str or None
        Replaces the label of every BIDS session, where given.
    """

    pseudonyms: Pseudonyms
    known: KnownIdentities
    one_subject: bool
    session_label: str | None = None

    def subject(self, label: str) -> str:
        """Return the new label (letters and digits) of a BIDS subject."""
        if self.one_subject:
            return plain_label(self.pseudonyms.patient_label)
        return self.pseudonyms.label_code("P", label)

    def session(self, label: str) -> str:
        """Return the new label of a BIDS session: the old one where it is an ordinary one."""
        if self.session_label:
            return plain_label(self.session_label)
        if _PLAIN_SESSION.fullmatch(label) and not self.known.touches(label):
            return label
        return self.pseudonyms.label_code("S", label)

    def references(self, text: str) -> str:
        """Return a text with the labels of BIDS subjects and sessions replaced."""
        replaced = _SUBJECT.sub(lambda found: f"sub-{self.subject(found[1])}", text)
        return _SESSION.sub(lambda found: f"ses-{self.session(found[1])}", replaced)

    def labels(self, text: str) -> str:
        """Return a name with the values of its entities; one of unknown words becomes a code."""
        return _ENTITY.sub(lambda found: f"{found[1]}-{self.label(found[2])}", text)

    def label(self, value: str) -> str:
        """Return the value of an entity, such as that of a task; the same for the same value."""
        if is_plain_label(value) and not self.known.touches(value):
            return value
        return f"x{self.pseudonyms.pseudonym('label', value)[:_LABEL_CODE_LENGTH].lower()}"

    def file(self, path: PurePosixPath) -> PurePosixPath:
        """Return the new path of a file below the folder, its suffixes kept."""
        suffixes = "".join(_suffixes(path.name))
        stem = path.name[: len(path.name) - len(suffixes)]
        return self.folder(path.parent) / f"{self._part(stem)}{suffixes.lower()}"

    def folder(self, path: PurePosixPath) -> PurePosixPath:
        """Return the new path of a folder."""
        return PurePosixPath(*(self._part(each) for each in path.parts if each != "."))

    def _part(self, name: str) -> str:
        rest = _SESSION.sub("", _SUBJECT.sub("", name))
        words = re.split(r"[_\-. ]+", _ENTITY.sub("", rest))
        kept = (
            name.isascii()
            and all(_is_plain_word(each) for each in words if each)
            and not self.known.touches(" ".join(words))
        )
        if kept:
            return self.labels(self.references(name))
        return f"x{self.pseudonyms.pseudonym('name', name).lower()}"


def plain_label(label: str) -> str:
    """Return a label with the letters and digits that BIDS allows."""
    return re.sub(r"[^A-Za-z0-9]", "", label)


def _is_plain_word(word: str) -> bool:
    return word.lower() in WORDS or _SMALL_NUMBER.fullmatch(word) is not None


def _suffixes(name: str) -> list[str]:
    found: list[str] = []
    for each in reversed(PurePosixPath(name).suffixes):
        if each.lower() not in SUFFIXES:
            break
        found.insert(0, each)
    return found

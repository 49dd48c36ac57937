"""Which reader a kind of file has, and which criterion a find breaks.

Not here: the readers themselves (one module for each group of formats).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from containers.check_identity import dicom, meg, nifti, pictures, recordings, sidecars
from containers.check_identity.context import FileContext
from containers.check_identity.kinds import Kind
from containers.check_identity.known import KnownKind
from containers.check_identity.patterns import Look

KNOWN_CRITERIA = {
    KnownKind.NAME: 8,
    KnownKind.ADDRESS: 8,
    KnownKind.PHONE: 8,
    KnownKind.EMAIL: 8,
    KnownKind.DATE: 9,
    KnownKind.UID: 14,
    KnownKind.ID: 3,
    KnownKind.TEXT: 3,
}
LOOK_CRITERIA = {
    Look.DATE: 10,
    Look.EMAIL: 8,
    Look.PHONE: 8,
    Look.NHS: 8,
    Look.RECORD: 8,
    Look.POSTCODE: 32,
    Look.LINK: 36,
    Look.HOME: 36,
    Look.IP: 36,
    Look.VENDOR_UID: 15,
}
READERS: dict[Kind, Callable[[BinaryIO, FileContext], None]] = {
    Kind.DICOM: dicom.read,
    Kind.NIFTI: nifti.read,
    Kind.JSON: sidecars.read_json,
    Kind.TABLE: sidecars.read_table,
    Kind.TEXT: sidecars.read_text,
    Kind.HTML: pictures.read_page,
    Kind.PNG: pictures.read_png,
    Kind.PDF: pictures.read_pdf,
    Kind.EDF: recordings.read_edf,
    Kind.BRAINVISION: recordings.read_brainvision,
    Kind.SIGNALS: recordings.read_signals,
    Kind.FIF: meg.read_fif,
    Kind.CTF: meg.read_ctf,
    Kind.CTF_TEXT: meg.read_ctf_text,
    Kind.KIT: meg.read_kit,
    Kind.EEGLAB: recordings.read_eeglab,
}
TEXT_KINDS = frozenset(
    {Kind.JSON, Kind.TABLE, Kind.TEXT, Kind.HTML, Kind.BRAINVISION, Kind.CTF_TEXT}
)

"""The DICOM receiver of a server: where it listens, and one association with it.

The service is C-STORE (DICOM PS3.4, annex B). What goes over the wire is the data set as the file
has it, encoding and all; only (0010,4000) PatientComments is set, in the copy that is sent, to say
where it belongs: XNAT's receivers read ``Project:P Subject:S Session:L`` there. Not here: what to
send, and whether it arrived (``network_sender``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import pydicom
from pydicom.uid import ImplicitVRLittleEndian

from xnat_client.errors import BadInputError, RefusedError, UnreachableError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from xnat_client.transport import Transport
    from xnat_client.upload.dicom_file import DicomFile
    from xnat_client.upload.send import UploadTarget

_RECEIVER = re.compile(r"([\x21-\x3f\x41-\x7e]{1,16})@([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
_AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16}")
_MOST_CONTEXTS = 128
"""Presentation contexts of one association (DICOM PS3.8, section 9.3.2.2: odd numbers to 255)."""
_SUCCESS = 0x0000
_WARNINGS = range(0xB000, 0xC000)
_NO_SPACE = range(0xA700, 0xA800)
_LONGEST_COMMENT = 10240
"""Characters of a Long Text (DICOM PS3.5, table 6.2-1)."""
_ROUTING = re.compile(r"\b(Project|Subject|Session):\S*\s*")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a receiver listens, and as whom to call it."""

    ae_title: str
    host: str
    port: int
    calling_title: str = "WINXNAT"

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


def read_receiver(text: str, calling_title: str = "WINXNAT") -> Receiver:
    """Read ``AETITLE@HOST:PORT``.

    Raises
    ------
    UsageError
        It is not of this form.

    Examples
    --------
    >>> str(read_receiver("XNAT@xnat.example.org:8104"))
    'XNAT@xnat.example.org:8104'
    """
    found = _RECEIVER.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 1 << 16:
        raise UsageError(
            "The receiver must be written AETITLE@HOST:PORT, like XNAT@xnat.example.org:8104"
        )
    _check_title(calling_title)
    return Receiver(found[1], found[2].strip("[]"), int(found[3]), calling_title)


def _check_title(title: str) -> None:
    if not _AE_TITLE.fullmatch(title):
        raise UsageError(
            "An AE title has 1 to 16 characters without blanks, accents or backslashes."
        )


def find_receiver(transport: Transport, calling_title: str = "WINXNAT") -> Receiver:
    """Return the only receiver that the server has switched on.

    Raises
    ------
    UsageError
        There is none, or there are several.
    """
    _check_title(calling_title)
    rows = transport.get_json("/xapi/dicomscp", doing="ask for the server's DICOM receivers")
    listed = rows if isinstance(rows, list) else []
    found = [row for row in listed if isinstance(row, dict) and row.get("enabled")]
    if len(found) != 1:
        titles = ", ".join(f"{row.get('aeTitle')}@...:{row.get('port')}" for row in found)
        raise UsageError(
            f"{transport.host} has {len(found)} DICOM receivers switched on"
            f"{f' ({titles})' if titles else ''}. Name one with --receiver AETITLE@HOST:PORT."
        )
    host = urlsplit(transport.url).hostname or ""
    return Receiver(str(found[0]["aeTitle"]), host, int(found[0]["port"]), calling_title)


class Association:
    """An open association; a context manager that releases it.

    Raises
    ------
    UsageError
        pynetdicom is not installed.
    UnreachableError
        Nobody answers, or the receiver does not take this sender.
    """

    def __init__(self, receiver: Receiver, images: Iterable[DicomFile]) -> None:
        try:
            from pynetdicom import AE  # noqa: PLC0415  # an extra; takes long to import
        except ImportError as error:
            raise UsageError(
                "Sending by DICOM needs the Python module pynetdicom, which is not installed: "
                "pip install 'winxnat[dicom]'"
            ) from error
        self._receiver = receiver
        entity = AE(ae_title=receiver.calling_title)
        entity.acse_timeout = entity.network_timeout = 30
        entity.dimse_timeout = 120
        for sop_class, syntax in contexts_of(images):
            entity.add_requested_context(sop_class, syntax)
        self._association: Any = entity.associate(
            receiver.host, receiver.port, ae_title=receiver.ae_title
        )
        if not self._association.is_established:
            entity.shutdown()
            raise UnreachableError(
                f"The DICOM receiver {receiver} does not answer, or does not take "
                f"{receiver.calling_title} as a sender. Check address, port and AE titles, and the "
                "receiver's whitelist."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._association.is_established:
            self._association.release() if kind is None else self._association.abort()

    def store(self, image: DicomFile, target: UploadTarget) -> None:
        """Send one file.

        Raises
        ------
        RefusedError
            The receiver does not take it.
        UnreachableError
            The association broke.
        BadInputError
            The file can no longer be read.
        """
        dataset = routed(read_dataset(image.path), target)
        try:
            status = self._association.send_c_store(dataset)
        except ValueError as error:  # no presentation context was accepted for it
            raise RefusedError(
                f"The DICOM receiver {self._receiver} does not take files of this kind "
                f"({_kind_of(dataset)}). Upload them without --via dicom."
            ) from error
        except RuntimeError as error:  # what pynetdicom says of an association that has ended
            raise self._broken() from error
        if "Status" not in status:
            raise self._broken()
        code = int(status.Status)
        if code != _SUCCESS and code not in _WARNINGS:
            meaning = ": it has no space left" if code in _NO_SPACE else ""
            raise RefusedError(
                f"The DICOM receiver {self._receiver} did not take a file (status "
                f"0x{code:04X}{meaning}). Look at the server's log of the receiver."
            )

    def _broken(self) -> UnreachableError:
        return UnreachableError(f"The association with the DICOM receiver {self._receiver} broke.")


def contexts_of(images: Iterable[DicomFile]) -> list[tuple[str, str]]:
    """Return the kinds of objects and their encodings, sorted.

    Raises
    ------
    BadInputError
        There are more than one association can hold.
    """
    found = set()
    for image in images:
        dataset = read_dataset(image.path, header_only=True)
        found.add((str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)))
    if len(found) > _MOST_CONTEXTS:
        raise BadInputError(
            f"The session has {len(found)} kinds of DICOM objects; one association can hold "
            f"{_MOST_CONTEXTS}. Upload it in parts, or without --via dicom."
        )
    return sorted(found)


def read_dataset(path: Path, *, header_only: bool = False) -> Any:
    """Read a file that was looked at before; the one without file meta information too."""
    try:
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=header_only)
    except OSError as error:
        raise BadInputError(
            f"A file can no longer be read ({error.strerror or type(error).__name__}). Its sending "
            "was broken off; try again when the folder is at rest."
        ) from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def routed(dataset: Any, target: UploadTarget) -> Any:
    """Set where a data set belongs, before what its comment says; return it."""
    said = _ROUTING.sub("", str(dataset.get("PatientComments", "") or "")).strip()
    where = (
        f"Project:{target.project_id} Subject:{target.subject_label} Session:{target.session_label}"
    )
    dataset.PatientComments = f"{where} {said}".strip()[:_LONGEST_COMMENT]
    return dataset


def _kind_of(dataset: Any) -> str:
    return f"{dataset.SOPClassUID.name}, {dataset.file_meta.TransferSyntaxUID.name}"

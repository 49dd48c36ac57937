"""Tags of the header elements that this step reads, and character sets by their Python names.

Not here: reading them (``header``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        "SamplesPerPixel": 0x00280002,
        "Rows": 0x00280010,
        "Columns": 0x00280011,
        "BitsAllocated": 0x00280100,
    }
)
"""Elements of one 16-bit number (US)."""
MOSAIC_IMAGES = 0x0019100A
"""Siemens: how many slices one mosaic holds (US)."""
VFRAME_IMAGES = 0x00651050
"""United Imaging: how many slices one file of kind VFRAME holds (DS)."""
CSA_IMAGE_HEADER = 0x00291010
"""Siemens: the private header in which older scanners keep that number."""
FACT_TAGS: Mapping[str, int] = MappingProxyType(
    {
        "SpecificCharacterSet": 0x00080005,
        "ImageType": 0x00080008,
        "SOPClassUID": 0x00080016,
        "SOPInstanceUID": 0x00080018,
        "SeriesDate": 0x00080021,
        "AcquisitionDate": 0x00080022,
        "SeriesTime": 0x00080031,
        "Modality": 0x00080060,
        "AcquisitionTime": 0x00080032,
        "SeriesDescription": 0x0008103E,
        "EchoTime": 0x00180081,
        "ProtocolName": 0x00181030,
        "NumberOfFrames": 0x00280008,
        "StudyInstanceUID": 0x0020000D,
        "SeriesInstanceUID": 0x0020000E,
        "SeriesNumber": 0x00200011,
        "InstanceNumber": 0x00200013,
    }
)
PERSON_TAGS: Mapping[str, int] = MappingProxyType(
    {
        "PatientName": 0x00100010,
        "ReferringPhysicianName": 0x00080090,
        "PerformingPhysicianName": 0x00081050,
        "OperatorsName": 0x00081070,
        "PhysiciansOfRecord": 0x00081048,
        "NameOfPhysiciansReadingStudy": 0x00081060,
        "RequestingPhysician": 0x00321032,
        "PatientMotherBirthName": 0x00101060,
        "ResponsiblePerson": 0x00102297,
        "PatientID": 0x00100020,
        "OtherPatientIDs": 0x00101000,
        "OtherPatientNames": 0x00101001,
        "IssuerOfPatientID": 0x00100021,
        "PatientBirthDate": 0x00100030,
        "PatientAddress": 0x00101040,
        "PatientTelephoneNumbers": 0x00102154,
        "PatientComments": 0x00104000,
        "AccessionNumber": 0x00080050,
        "StudyID": 0x00200010,
        "InstitutionName": 0x00080080,
        "InstitutionAddress": 0x00080081,
        "InstitutionalDepartmentName": 0x00081040,
        "StationName": 0x00081010,
        "DeviceSerialNumber": 0x00181000,
        "AdditionalPatientHistory": 0x001021B0,
        "ImageComments": 0x00204000,
        "StudyDescription": 0x00081030,
        "RequestedProcedureDescription": 0x00321060,
        "PerformedProcedureStepID": 0x00400253,
    }
)
"""Tags of what ``identity`` names (PS3.6, table 6-1)."""
PYTHON_CODECS: Mapping[str, str] = MappingProxyType(
    {
        "": "latin-1",
        "ISO_IR 6": "latin-1",
        "ISO_IR 100": "latin-1",
        "ISO_IR 192": "utf-8",
        "ISO_IR 101": "iso8859_2",
        "ISO_IR 109": "iso8859_3",
        "ISO_IR 110": "iso8859_4",
        "ISO_IR 144": "iso8859_5",
        "ISO_IR 127": "iso8859_6",
        "ISO_IR 126": "iso8859_7",
        "ISO_IR 138": "iso8859_8",
        "ISO_IR 148": "iso8859_9",
        "GB18030": "gb18030",
        "GBK": "gbk",
    }
)
"""Character sets without code extensions (PS3.3, section C.12.1.1.2)."""

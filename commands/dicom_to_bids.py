"""The command ``dicom-to-bids``: one imaging session to a BIDS dataset."""

from __future__ import annotations

from commands.authoring import (
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    own_command,
    report_handler,
    resource_handler,
)
from commands.model import (
    CommandInput,
    CommandInputType,
    CommandOutput,
    DerivedInput,
    ExternalInput,
    Mount,
    Wrapper,
    WrapperInputType,
)

_SUBJECT_LABEL = "subject-label"
_SESSION_LABEL = "session-label"
_BIDS = "bids"
_MAP = "map"
MAP_RESOURCE = "BIDS_bidsmap"
"""Label of the project's resource with its map; XNAT's own converter looks there, too."""
MAP_FILE = "bidsmap.json"

_SESSION_WRAPPER = Wrapper(
    name="dicom-to-bids-session",
    label="Convert to BIDS",
    description="Convert all scans of the session to BIDS and keep the result with the session.",
    contexts=("xnat:imageSessionData",),
    external_inputs=(
        ExternalInput(
            name="session",
            type=WrapperInputType.SESSION,
            label="Session",
            description="The session to convert.",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    derived_inputs=(
        DerivedInput(
            name="subject",
            type=WrapperInputType.SUBJECT,
            description="The subject of the session.",
            user_settable=False,
            derived_from_wrapper_input="session",
        ),
        DerivedInput(
            name="subject-name",
            description="The subject's label in the project.",
            user_settable=False,
            provides_value_for_command_input=_SUBJECT_LABEL,
            derived_from_wrapper_input="subject",
            derived_from_xnat_object_property="label",
        ),
        DerivedInput(
            name="session-name",
            description="The session's label in the project.",
            user_settable=False,
            provides_value_for_command_input=_SESSION_LABEL,
            derived_from_wrapper_input="session",
            derived_from_xnat_object_property="label",
        ),
        DerivedInput(
            name="project",
            type=WrapperInputType.PROJECT,
            description="The project of the session.",
            required=False,
            user_settable=False,
            derived_from_wrapper_input="session",
        ),
        DerivedInput(
            name="map-resource",
            type=WrapperInputType.RESOURCE,
            description="The project's resource with its BIDS map, if it has one.",
            required=False,
            user_settable=False,
            matcher=f"@.label == '{MAP_RESOURCE}'",
            provides_files_for_command_mount=_MAP,
            derived_from_wrapper_input="project",
        ),
        DerivedInput(
            name="map-file",
            type=WrapperInputType.FILE,
            description="The map in this resource.",
            required=False,
            user_settable=False,
            matcher=f"@.name == '{MAP_FILE}'",
            provides_value_for_command_input=_MAP,
            derived_from_wrapper_input="map-resource",
            derived_from_xnat_object_property="name",
        ),
    ),
    output_handlers=(
        resource_handler(_BIDS, "session", "BIDS", "BIDS", "BIDS"),
        report_handler("session", "BIDS_REPORT"),
    ),
)

COMMAND = own_command(
    "dicom-to-bids",
    label="DICOM to BIDS",
    description=(
        "Convert the DICOM files of one imaging session to a validated BIDS dataset. Every scan "
        "is converted or left out with a reason in the report."
    ),
    inputs=(
        CommandInput(
            name=_SUBJECT_LABEL,
            label="Subject label",
            description=(
                "Label of the subject in the dataset; characters that BIDS does not allow are "
                "left out. Never taken from the DICOM headers."
            ),
        ),
        CommandInput(
            name=_SESSION_LABEL,
            label="Session label",
            description=(
                "Label of the session in the dataset; characters that BIDS does not allow are "
                "left out. Never taken from the DICOM headers."
            ),
        ),
        CommandInput(
            name=_MAP,
            label="Map",
            description=(
                "File with the project's map of series to BIDS names; on a server "
                f"{MAP_FILE} of the project's resource {MAP_RESOURCE}, where there is one."
            ),
        ),
        CommandInput(
            name="allow-invalid",
            label="Keep invalid results",
            description="Hand on the dataset even if the BIDS validator finds errors in it.",
            type=CommandInputType.BOOLEAN,
            default_value="false",
        ),
    ),
    outputs=(
        CommandOutput(
            name=_BIDS,
            mount=OUTPUT_MOUNT.name,
            description="The BIDS dataset of this session.",
            required=True,
            path="bids",
        ),
    ),
    wrappers=(_SESSION_WRAPPER,),
    file_mounts=(Mount(_MAP, "/map"),),
    reserve_memory=500,
    limit_memory=2000,
)

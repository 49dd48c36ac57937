"""The command ``check-identity``: whether a folder holds no identity, criterion by criterion."""

from __future__ import annotations

from commands.authoring import INPUT_MOUNT, own_command, report_handler
from commands.model import (
    CommandInput,
    CommandInputType,
    ExternalInput,
    Wrapper,
    WrapperInputType,
)

_DESCRIPTION = "Search all files for identities and show how each criterion for a release stands."


def _wrapper(kind: str, input_type: WrapperInputType, context: str) -> Wrapper:
    return Wrapper(
        name=f"check-identity-{kind}",
        label="Check identity",
        description=_DESCRIPTION,
        contexts=(context,),
        external_inputs=(
            ExternalInput(
                name=kind,
                type=input_type,
                label=kind.capitalize(),
                description=f"The {kind} whose files are checked.",
                provides_files_for_command_mount=INPUT_MOUNT.name,
            ),
        ),
        output_handlers=(report_handler(kind, "IDENTITY_REPORT"),),
    )


COMMAND = own_command(
    "check-identity",
    label="Check identity",
    description=(
        "Search a folder for identities, in all bytes, encodings and compressed streams and by "
        "format, and show how each criterion for a release stands. The report repeats no secret. "
        "Ends with 4 if a blocking criterion is not met or not known."
    ),
    inputs=(
        CommandInput(
            name="known",
            label="Known strings",
            description=(
                "File with the study's names, numbers and dates (JSON, CSV, TSV or one a line): "
                "an absolute path, or one below the input folder. Keep it readable for you only."
            ),
        ),
        CommandInput(
            name="originals",
            label="Originals",
            description=(
                "Folder below the input folder with the original DICOM files; their identifiers "
                "are searched for, the folder itself is not checked."
            ),
        ),
        CommandInput(
            name="checked",
            label="Checked folder",
            description="Folder below the input folder that is checked; without it, all of it.",
        ),
        CommandInput(
            name="criteria",
            label="Criteria",
            description="Numbers of the criteria that count, such as 3,8-10; without it, all.",
        ),
        CommandInput(
            name="study-period",
            label="Study period",
            description="First and last day of scanning, such as 2019-01-01/2021-12-31.",
        ),
        CommandInput(
            name="allowed-options",
            label="Allowed options",
            description=(
                "Options of PS3.15 agreed for the release, by code of CID 7050, such as "
                "113105,113107; without it, those that each file declares."
            ),
        ),
        CommandInput(
            name="fail-when-unsafe",
            label="Fail when unsafe",
            description=(
                "End with 4 and a failed run where a criterion is not met. If not set, the run "
                "succeeds and the report alone says so."
            ),
            type=CommandInputType.BOOLEAN,
            default_value="true",
        ),
    ),
    wrappers=(
        _wrapper("session", WrapperInputType.SESSION, "xnat:imageSessionData"),
        _wrapper("project", WrapperInputType.PROJECT, "xnat:projectData"),
    ),
    reserve_memory=500,
    limit_memory=2000,
)

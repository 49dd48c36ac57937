"""The command ``deface``: images of a session without faces, each checked before it is given."""

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
    ExternalInput,
    Wrapper,
    WrapperInputType,
)

_DEFACED = "defaced"


def _wrapper(kind: str, input_type: WrapperInputType, context: str) -> Wrapper:
    return Wrapper(
        name=f"deface-{kind}",
        label="Deface",
        description=f"Keep copies of the {kind}'s images without faces beside it.",
        contexts=(context,),
        external_inputs=(
            ExternalInput(
                name=kind,
                type=input_type,
                label=kind.capitalize(),
                description=f"The {kind} whose images are defaced; it is not changed.",
                provides_files_for_command_mount=INPUT_MOUNT.name,
            ),
        ),
        output_handlers=(
            resource_handler(_DEFACED, kind, "DEFACED", "MIXED", "DEFACED"),
            report_handler(kind, "DEFACE_REPORT"),
        ),
    )


COMMAND = own_command(
    "deface",
    label="Deface",
    description=(
        "Remove faces and ears from structural MR images (NIfTI, DICOM) without touching any other "
        "voxel. Every result is judged by its own gates; where one is not passed nothing is "
        "handed on, and the run ends with 4 and a report for a person to look at."
    ),
    inputs=(
        CommandInput(
            name="strictness",
            label="Strictness",
            description="Strict asks for two fits that agree, and for tighter limits.",
            type=CommandInputType.SELECT_ONE,
            default_value="normal",
            select_values=("normal", "strict"),
        ),
        CommandInput(
            name="keep-nasion",
            label="Keep the nasion",
            description=(
                "Keep a ball of 13 mm about the root of the nose, for users of MEG and EEG who "
                "place sensors by it. Part of the face then stays."
            ),
            type=CommandInputType.BOOLEAN,
            default_value="false",
        ),
        CommandInput(
            name="fast",
            label="Fast",
            description="Do without the second fit where the first is very good.",
            type=CommandInputType.BOOLEAN,
            default_value="false",
        ),
        CommandInput(
            name="fail-when-refused",
            label="Fail when refused",
            description=(
                "Hand on nothing, and end with 4, if any image that may show a face could not be "
                "defaced for certain. If not set, the others are handed on and the run succeeds."
            ),
            type=CommandInputType.BOOLEAN,
            default_value="true",
        ),
        CommandInput(
            name="format",
            label="Format",
            description=(
                "Which files to deface. Auto takes NIfTI files, and DICOM files only where there "
                "is no NIfTI."
            ),
            type=CommandInputType.SELECT_ONE,
            default_value="auto",
            select_values=("auto", "nifti", "dicom", "both"),
        ),
    ),
    outputs=(
        CommandOutput(
            _DEFACED,
            OUTPUT_MOUNT.name,
            "The images without faces, their masks and sidecars.",
            required=True,
            path=_DEFACED,
        ),
    ),
    wrappers=(
        _wrapper("session", WrapperInputType.SESSION, "xnat:imageSessionData"),
        _wrapper("scan", WrapperInputType.SCAN, "xnat:imageScanData"),
    ),
    reserve_memory=1500,
    limit_memory=4000,
)

"""The command ``winqc``: measures of quality for the images and recordings of one session."""

from __future__ import annotations

from commands.authoring import INPUT_MOUNT, OUTPUT_MOUNT, REPORT_OUTPUT, own_command
from commands.model import (
    CommandInput,
    CommandInputType,
    CommandOutput,
    DerivedInput,
    ExternalInput,
    OutputHandler,
    Wrapper,
    WrapperInputType,
)

_QC = "qc"

_SESSION_WRAPPER = Wrapper(
    name="winqc-session",
    label="Measure image quality",
    description=(
        "Measure the quality of the T1w, T2w, BOLD and diffusion images of the session's BIDS "
        "resource, and keep values and pictures with the session."
    ),
    contexts=("xnat:imageSessionData",),
    external_inputs=(
        ExternalInput(
            name="session",
            type=WrapperInputType.SESSION,
            label="Session",
            description="The session to measure; it must have a BIDS resource.",
        ),
    ),
    derived_inputs=(
        DerivedInput(
            name="bids",
            type=WrapperInputType.RESOURCE,
            description="The session's BIDS resource.",
            user_settable=False,
            matcher="@.label == 'BIDS'",
            derived_from_wrapper_input="session",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    output_handlers=(
        OutputHandler(
            name="qc-resource",
            accepts_command_output=_QC,
            as_a_child_of="session",
            label="WINQC",
            format="JSON",
            content="QC",
        ),
        OutputHandler(
            name="report-resource",
            accepts_command_output=REPORT_OUTPUT.name,
            as_a_child_of="session",
            label="WINQC_REPORT",
            format="JSON",
            content="REPORT",
        ),
    ),
)

COMMAND = own_command(
    "winqc",
    label="Image quality (winqc)",
    description=(
        "Measure the quality of T1w, T2w, BOLD and diffusion images and of EEG and MEG "
        "recordings: noise, contrast, motion, ghosts, spikes, lost slices, bad channels. A record, "
        "pictures and a page for each; what cannot be measured says why. winqc, not MRIQC."
    ),
    inputs=(
        CommandInput(
            name="modality",
            label="Kind of image",
            description=(
                "What to take images for whose file name does not end as BIDS has it; auto leaves "
                "them out."
            ),
            type=CommandInputType.SELECT_ONE,
            default_value="auto",
            select_values=("auto", "T1w", "T2w", "bold", "dwi"),
        ),
        CommandInput(
            name="defaced",
            label="Defaced",
            description=(
                "Whether faces were taken out of the images; it is kept in the records, as "
                "defacing changes some measures."
            ),
            type=CommandInputType.SELECT_ONE,
            default_value="unknown",
            select_values=("unknown", "yes", "no"),
        ),
    ),
    outputs=(
        CommandOutput(
            name=_QC,
            mount=OUTPUT_MOUNT.name,
            description="Records, pictures and pages of all images that were measured.",
            required=True,
            path=_QC,
        ),
    ),
    wrappers=(_SESSION_WRAPPER,),
    reserve_memory=1000,
    limit_memory=6000,
)

"""The command ``mriqc``: MRIQC's measures of image quality for one session."""

from __future__ import annotations

from commands.authoring import INPUT_MOUNT, OUTPUT_MOUNT, REPORT_OUTPUT, own_command
from commands.model import (
    CommandOutput,
    DerivedInput,
    ExternalInput,
    OutputHandler,
    Wrapper,
    WrapperInputType,
)

_QC = "qc"

_SESSION_WRAPPER = Wrapper(
    name="mriqc-session",
    label="Measure image quality with MRIQC",
    description=(
        "Run MRIQC on the session's BIDS resource; it takes hours. Nothing is sent to MRIQC's "
        "servers."
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
            label="MRIQC",
            format="JSON",
            content="QC",
        ),
        OutputHandler(
            name="report-resource",
            accepts_command_output=REPORT_OUTPUT.name,
            as_a_child_of="session",
            label="MRIQC_REPORT",
            format="JSON",
            content="REPORT",
        ),
    ),
)

COMMAND = own_command(
    "mriqc",
    label="Image quality (MRIQC)",
    description=(
        "Run MRIQC on one session's T1w, T2w, BOLD and diffusion images, without submission, "
        "telemetry and network. A node that crashes costs its image, not the run. winqc is there "
        "for those who cannot wait."
    ),
    outputs=(
        CommandOutput(
            name=_QC,
            mount=OUTPUT_MOUNT.name,
            description="MRIQC's records of all images that were measured.",
            required=True,
            path=_QC,
        ),
    ),
    wrappers=(_SESSION_WRAPPER,),
    reserve_memory=4000,
    limit_memory=16000,
)

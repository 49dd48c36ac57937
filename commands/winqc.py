"""The command ``winqc``: measures of quality for the images and recordings of one session."""

from __future__ import annotations

from commands.authoring import (
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    bids_session_wrapper,
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

_QC = "qc"

_SESSION_WRAPPER = bids_session_wrapper(
    "winqc",
    label="Measure image quality",
    description=(
        "Measure the quality of the T1w, T2w, BOLD and diffusion images of the session's BIDS "
        "resource, and keep values and pictures with the session."
    ),
    handlers=(
        resource_handler(_QC, "session", "WINQC", "JSON", "QC"),
        report_handler("session", "WINQC_REPORT"),
    ),
    # Those of dicom-to-bids and of eeg-to-bids, which it may follow.
    contexts=("xnat:imageSessionData", "xnat:eegSessionData", "xnat:megSessionData"),
)

# One run over all: the service cannot hand several sessions' folders to one container but by the
# folder of the project. Measuring session by session is a bulk launch of the other wrapper.
_PROJECT_WRAPPER = Wrapper(
    name="winqc-project",
    label="Measure the image quality of all sessions",
    description=(
        "Measure the images in the BIDS resources of all sessions in one run, and keep values, "
        "pictures and a page that compares them with the project."
    ),
    contexts=("xnat:projectData",),
    external_inputs=(
        ExternalInput(
            name="project",
            type=WrapperInputType.PROJECT,
            label="Project",
            description="The project to measure; sessions without a BIDS resource are counted.",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    output_handlers=(
        resource_handler(_QC, "project", "WINQC", "JSON", "QC"),
        report_handler("project", "WINQC_REPORT"),
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
    wrappers=(_SESSION_WRAPPER, _PROJECT_WRAPPER),
    reserve_memory=1000,
    limit_memory=6000,
)

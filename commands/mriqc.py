"""The command ``mriqc``: MRIQC's measures of image quality for one session."""

from __future__ import annotations

from commands.authoring import (
    OUTPUT_MOUNT,
    bids_session_wrapper,
    own_command,
    report_handler,
    resource_handler,
)
from commands.model import CommandOutput

_QC = "qc"

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
    wrappers=(
        bids_session_wrapper(
            "mriqc",
            label="Measure image quality with MRIQC",
            description=(
                "Run MRIQC on the session's BIDS resource; it takes hours. Nothing is sent to "
                "MRIQC's servers."
            ),
            handlers=(
                resource_handler(_QC, "session", "MRIQC", "JSON", "QC"),
                report_handler("session", "MRIQC_REPORT"),
            ),
        ),
    ),
    reserve_memory=4000,
    limit_memory=16000,
)

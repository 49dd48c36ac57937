"""MRIQC as a step: the genuine program, or its node graph with stand-ins for some programs."""

"""What the exit code of every command of this project means, for its documentation.

The steps raise these through ``containers.contract.ExitCode``; a test holds both together.
"""

from __future__ import annotations

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "Done: the output is complete."),
    (1, "The program itself is at fault; please report it with its log."),
    (2, "Wrong usage: a parameter or a folder of the call is wrong."),
    (3, "The input is not what the command works on; mend the input."),
    (4, "An identity or a face may remain in the output, so nothing was handed on."),
    (5, "A tool that the command relies on ended with a failure; read its log."),
    (6, "Memory, disk or time ran out; give the command more."),
)
"""Exit code and meaning, ascending."""

"""Puts the stand-ins where MRIQC finds them: ``python -m ...stand_ins.install ROOT``.

Programs into ``ROOT/stand-ins/bin``, the template beside them, and the list of what was
substituted, which ends up in each record. Not here: what they do.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from containers.mriqc.stand_ins.programs import ANTS_PROGRAMS, PROGRAMS
from containers.mriqc.stand_ins.templates import make_templates

_SCRIPT = """\
#!{python}
import sys
from containers.mriqc.stand_ins.programs import main
sys.exit(main())
"""
_EXECUTABLE = 0o755


def substitutions() -> list[str]:
    """Return what is substituted, one sentence each."""
    maps = f"ICBM 152 2009a symmetric, from nilearn {version('nilearn')}"
    return [
        f"ANTs' programs are those of antspyx {version('antspyx')}.",
        "The brain mask is that of deepbet's network, not SynthStrip's.",
        "AFNI's programs are winxnat's, after AFNI's description.",
        f"The template is {maps}, without a scalp; not 2009c asymmetric.",
    ]


def install(root: Path) -> None:
    """Write programs, template and list below ``root/stand-ins``."""
    folder = root / "stand-ins"
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in (*ANTS_PROGRAMS, *PROGRAMS):
        path = programs / name
        path.write_text(_SCRIPT.format(python=sys.executable), encoding="ascii")
        path.chmod(_EXECUTABLE)
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise SystemExit("nilearn is not installed here.")
    make_templates(Path(spec.origin).parent / "datasets" / "data", folder / "templateflow")
    # MRIQC checks that SynthStrip's weights are there; the stand-in does not read them.
    weights = folder / "freesurfer" / "models" / "synthstrip.1.pt"
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.touch()
    (folder / "substitutions.json").write_text(json.dumps(substitutions()), encoding="utf-8")


if __name__ == "__main__":
    install(Path(sys.argv[1]))

"""What a check says of files that no step accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_client.release import checks
from xnat_client.sharing.vocabulary import Outcome

NOTHING = checks.Findings({}, (), {}, ())


@pytest.mark.parametrize(
    ("name", "faces", "quality"),
    [
        ("participants.tsv", Outcome.NOT_NEEDED, Outcome.NOT_NEEDED),
        ("page.html", Outcome.NOT_MET, Outcome.NOT_NEEDED),
        ("head.png", Outcome.NOT_MET, Outcome.NOT_NEEDED),
        ("sub-a1/anat/sub-a1_T1w.nii.gz", Outcome.NOT_MET, Outcome.NOT_MET),
        ("sub-a1/anat/sub-a1_T1w.unheardof", Outcome.NOT_MET, Outcome.NOT_MET),
    ],
)
def test_what_may_show_a_face_is_not_met_unless_accounted_for(
    name: str, faces: Outcome, quality: Outcome, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")

    found = (
        checks.faces(tmp_path, NOTHING, "1").outcome,
        checks.quality(tmp_path, NOTHING, "1").outcome,
    )

    assert found == (faces, quality)

"""What the page of the sandbox says, against the server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.sandbox.conftest import Api, Study

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"
ABSENT = re.findall(r"^\| `(GET|PUT|POST|DELETE) (\S+)` \|", PAGE.read_text(), re.MULTILINE)


def test_the_page_lists_what_is_not_there() -> None:
    """The table was found as it is written, so that the next test asks something."""
    assert len(ABSENT) >= 30


@pytest.mark.parametrize(("method", "address"), ABSENT)
def test_what_the_page_calls_absent_answers_501(
    admin: Api, untouched: Study, method: str, address: str
) -> None:
    """The sentence names what is not implemented and points to the page."""
    path = address.format(project=untouched.project, subject="S1", experiment=untouched.session_id)

    answer = admin.request(method, path)

    assert answer.status_code == 501, answer.text
    assert "docs/sandbox.md" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "{0}/subjects/.dot", 417),
        ("PUT", "{0}/subjects/a%20b", 417),
        ("PUT", "{0}/subjects/S1?xnat:subjectData/nothing=1", 400),
        ("PUT", "{0}/subjects/S1?xnat:subjectData/nothing=NULL", 200),
        ("PUT", "{0}/subjects/S1?nothing=1", 200),
        ("PUT", "{0}/subjects/S1/experiments/NEW?date=2024-01-31", 417),
        ("PUT", "{0}/subjects/S1/experiments/E1/scans/NEW?type=T1w", 400),
        ("PUT", "{0}/subjects/S1/experiments/E1/scans/NEW", 417),
        ("GET", "{0}/subjects/OTHER/experiments/E1", 404),
        ("PUT", "{0}/subjects/OTHER/experiments/E1?xsiType=xnat:mrSessionData", 409),
        ("PUT", "{0}/current_arc/arc999", 409),
        ("DELETE", "{0}/subjects/S1/experiments/E1/resources/NONE", 404),
        ("GET", "{0}/subjects/s1?format=json", 200),
        ("GET", "/xapi/schemas/pipeline", 404),
        ("GET", "/xapi/some_plugin/things", 404),
        ("GET", "/app/template/Index.vm", 404),
        ("POST", "/xapi/docker/pull?image=nothing", 424),
        ("PUT", "/data/version", 405),
    ],
)
def test_choices_of_the_page_are_those_of_the_server(
    admin: Api, study: Study, method: str, path: str, status: int
) -> None:
    """Rows of the page's table of choices, with the status that a client gets."""
    admin.made(f"{study.path}/subjects/OTHER")

    answer = admin.request(method, path.format(study.path))

    assert answer.status_code == status, answer.text

"""The whole interface under made-up requests, as schemathesis draws them from its description."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import deploy.sandbox

EXAMPLES = 8
"""Requests for each handler and method; about 4,000 in all, within a minute."""

# What the seeded site has, so that requests get beyond the first look-up.
REAL: dict[str, list[str]] = {
    "accessibility": ["private"],
    "assessor": ["A1", "ALL"],
    "column": ["label"],
    "command": ["1"],
    "container": ["1"],
    "experiment": ["XNAT_E00001", "XNAT_E00001", "E1"],
    "field": ["f"],
    "file": ["a.txt"],
    "flag": ["true", "false"],
    "group": ["Owners", "Members", "P_member"],
    "level": ["private", "protected", "public"],
    "login": ["someone"],
    "name": ["E1", "siteId", "xnat:mrSessionData"],
    "number": ["1"],
    "path": ["a.txt", "folder/b.txt", "x"],
    "project": ["P"],
    "receiver": ["Q"],
    "reconstruction": ["R1"],
    "resource": ["FILES", "1"],
    "role": ["Administrator"],
    "root": ["session", "scan"],
    "scan": ["1", "ALL", "1,2"],
    "search": ["mine"],
    "subject": ["XNAT_S00001", "S1"],
    "tool": ["dashboard", "anon"],
    "user": ["someone"],
    "value": ["true", "0", "arc002"],
    "wrapper": ["1", "dicom-to-bids-session"],
}
SUBJECT_XML = (
    '<xnat:Subject xmlns:xnat="http://nrg.wustl.edu/xnat" {0}><xnat:demographics/></xnat:Subject>'
)
SEARCH_XML = (
    '<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="mine"><xdat:root_element_name>'
    "{0}</xdat:root_element_name><xdat:search_field><xdat:element_name>xnat:subjectData"
    "</xdat:element_name><xdat:field_ID>{0}</xdat:field_ID></xdat:search_field></xdat:bundle>"
)
XML = (SUBJECT_XML, SEARCH_XML, "<{0}/>", "{0}")
URIS = ["/archive/projects/P", "/archive/experiments/E1", "/data/projects/P/subjects/S1"]


def _words() -> list[str]:
    """Return the short texts in the server's source: names of options, members and values."""
    folder = Path(deploy.sandbox.__file__).parent
    constants = (
        node.value
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return sorted({text for text in constants if re.fullmatch(r"[A-Za-z_][\w:/.-]{1,40}", text)})


WORDS = _words()
TEXTS = st.one_of(
    st.sampled_from([*WORDS, *URIS, "1", "-1", "1e999", "99999999999999999999", "2024-01-31"]),
    st.text(max_size=30),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = st.one_of(st.sampled_from(WORDS), st.text(max_size=10))
TYPES = st.sampled_from(
    ["xnat:subjectData", "xnat:mrSessionData", "xnat:mrScanData", "xnat:qcAssessmentData"]
)
QUERIES = st.one_of(
    st.just({}),
    st.dictionaries(NAMES, TEXTS, max_size=3),
    st.builds(
        lambda options, kind: {**options, "xsiType": kind},
        st.dictionaries(NAMES, TEXTS, max_size=2),
        TYPES,
    ),
)


@pytest.fixture
def seeded(fresh_sandbox: Any) -> Iterator[requests.Session]:
    """Return requests as the administrator of a site with one object of each kind."""
    with requests.Session() as api:
        api.trust_env = False
        api.auth = (fresh_sandbox.admin_user, fresh_sandbox.admin_password)
        user = {"username": "someone", "password": "a-test-password", "email": "s@example.org"}
        session = "/data/projects/P/subjects/S1/experiments/E1"
        steps: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/xapi/users", {"json": {**user, "enabled": True, "verified": True}}),
            ("PUT", "/data/projects/P?xsiType=xnat:projectData", {}),
            ("PUT", "/data/projects/Q?xsiType=xnat:projectData", {}),
            ("PUT", "/data/projects/P/subjects/S1", {}),
            ("PUT", f"{session}?xsiType=xnat:mrSessionData", {}),
            ("PUT", f"{session}/scans/1?xsiType=xnat:mrScanData", {}),
            ("PUT", f"{session}/reconstructions/R1?xsiType=xnat:reconstructedImageData", {}),
            ("PUT", f"{session}/assessors/A1?xsiType=xnat:qcAssessmentData", {}),
            ("PUT", f"{session}/resources/FILES/files/a.txt?inbody=true", {"data": b"text"}),
            ("PUT", f"{session}/reconstructions/R1/out/resources/FILES", {}),
            ("PUT", "/data/projects/P/resources/FILES", {}),
            ("POST", "/xapi/commands", {"data": _command(), "headers": _JSON}),
            ("PUT", "/xapi/wrappers/1/enabled", {}),
            ("PUT", "/xapi/projects/P/wrappers/1/enabled", {}),
        ]
        for method, path, options in steps:
            answer = api.request(method, fresh_sandbox.url + path, timeout=60, **options)
            assert answer.status_code in {200, 201}, (path, answer.status_code, answer.text)
        yield api


_JSON = {"Content-Type": "application/json"}


def _command() -> bytes:
    path = Path(__file__).parents[3] / "commands" / "json" / "dicom-to-bids.json"
    return path.read_bytes()


def _operations(description: dict[str, Any]) -> list[Any]:
    """Return two operations of each handler and method, reading first and deleting last."""
    found = defaultdict(list)
    for result in schemathesis.openapi.from_dict(description).get_all_operations():
        operation = result.ok()
        handler = operation.definition.raw["operationId"].rpartition(".")[0]
        found[handler].append(operation)
    # The longest address has the most parts that can be wrong, the shortest the fewest.
    chosen = [
        operation
        for same in found.values()
        for operation in {each.path: each for each in _extremes(same)}.values()
    ]
    order = ["get", "post", "put", "delete"]
    return sorted(chosen, key=lambda each: order.index(each.method.lower()))


def _extremes(operations: list[Any]) -> tuple[Any, Any]:
    by_length = sorted(operations, key=lambda each: len(each.path))
    return by_length[0], by_length[-1]


def _change(case: Any, data: st.DataObject) -> None:
    """Put names that exist, and known options, into most of the requests."""
    parts = case.path_parameters or {}
    if parts and data.draw(st.integers(0, 4)):
        spared = data.draw(st.sampled_from([None, None, *parts]))
        for name in parts:
            if name in REAL and name != spared:
                parts[name] = data.draw(st.sampled_from(REAL[name]))
    case.query = data.draw(QUERIES)


def _body(data: st.DataObject) -> dict[str, Any] | None:
    """Return what to send instead of the drawn body, or None to send that one."""
    kind = data.draw(st.sampled_from(["drawn", "json", "xml", "none"]))
    if kind == "json":
        text = json.dumps(data.draw(VALUES))
        return {"data": text.encode(), "headers": {"Content-Type": "application/json"}}
    if kind == "xml":
        text = data.draw(st.sampled_from(XML)).format(data.draw(TEXTS))
        body = text.encode("utf-8", "surrogatepass")
        return {"data": body, "headers": {"Content-Type": "application/xml"}}
    return {} if kind == "none" else None


def _ask(api: requests.Session, url: str, case: Any, data: st.DataObject) -> requests.Response:
    _change(case, data)
    options = case.as_transport_kwargs(base_url=url)
    body = _body(data)
    if body is not None:
        options = {name: options[name] for name in ("method", "url", "params")} | body
    return api.request(**options, timeout=60)


@dataclass
class _Findings:
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    faults: dict[str, str] = field(default_factory=dict)

    def note(self, operation: Any, answer: requests.Response) -> None:
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != 501:
            self.faults.setdefault(operation.label, str(answer.request.url))


def _fuzz(api: requests.Session, url: str, operation: Any, findings: _Findings) -> None:
    @seed(20)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        findings.note(operation, _ask(api, url, case, data))

    ask()


@pytest.mark.slow
def test_no_request_makes_the_server_fail(seeded: requests.Session, fresh_sandbox: Any) -> None:
    """Whatever is asked, the answer is a success, a refusal, or 501 with its sentence."""
    url = fresh_sandbox.url
    description = seeded.get(f"{url}/xapi/v3/api-docs", timeout=60).json()
    findings = _Findings()

    for operation in _operations(description):
        _fuzz(seeded, url, operation, findings)

    assert findings.faults == {}
    assert sum(findings.statuses.values()) > 2000
    assert findings.statuses[200] > 500
    assert findings.statuses[400] > 500
    assert fresh_sandbox.root.joinpath("server.log").read_text() == ""

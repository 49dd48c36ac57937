"""Assessors and scans that containers describe in XML documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.container_lab import Lab, shell_command

QC = "xnat:qcManualAssessorData"
DOCUMENT = (
    '<?xml version="1.0"?><xnat:{name} xmlns:xnat="http://nrg.wustl.edu/xnat"{attributes}>'
    "{content}</xnat:{name}>"
)


def writing(document: str, *, kind: str = "Assessor", xsi_type: str | None = QC) -> dict[str, Any]:
    """Return a command that writes a document, and a file that belongs under it."""
    command = shell_command("", resource=None)
    command["command-line"] = (
        f"mkdir /output/files; echo kept > /output/files/x; cat > /output/out.xml <<'END'\n"
        f"{document}\nEND"
    )
    command["outputs"] = [
        {"name": "document", "mount": "out", "path": "out.xml", "required": True},
        {"name": "files", "mount": "out", "path": "files"},
    ]
    handler = {
        "name": "made",
        "accepts-command-output": "document",
        "as-a-child-of": "root",
        "type": kind,
    }
    if xsi_type is not None:
        handler["xsi-type"] = xsi_type
    command["xnat"][0]["output-handlers"] = [
        handler,
        {
            "name": "below",
            "accepts-command-output": "files",
            "as-a-child-of": "made",
            "label": "FILES",
        },
    ]
    return command


def qc(label: str = "QC1", content: str = "<xnat:rater>somebody</xnat:rater>") -> str:
    """Return the document of a manual assessment."""
    return DOCUMENT.format(
        name="QCManualAssessment", attributes=f' label="{label}"', content=content
    )


def test_assessor_with_files_below_it(lab: Lab):
    """A document becomes an assessor of the session, and files go below the new assessor."""
    member, session = lab.person(), lab.session()

    status, details = lab.run(member, lab.command(writing(qc())), session)

    assert (status, details) == ("Complete", "")
    address = f"/data/experiments/{session}/assessors/QC1"
    item = member.http.get(f"{lab.url}{address}?format=json").json()["items"][0]
    assert item["meta"]["xsi:type"] == QC
    assert item["data_fields"]["rater"] == "somebody"
    assert lab.read(address, "FILES/x") == b"kept\n"


def test_second_run_changes_the_same_assessor(lab: Lab):
    """A document with the label of an assessor that is there changes it."""
    session = lab.session()
    for name in ("first", "second"):
        document = writing(qc(content=f"<xnat:rater>{name}</xnat:rater>"))
        assert lab.run(lab.admin, lab.command(document), session)[0] == "Complete"

    listed = lab.admin.http.get(f"{lab.url}/data/experiments/{session}/assessors?format=json")
    assert len(listed.json()["ResultSet"]["Result"]) == 1
    item = lab.admin.http.get(
        f"{lab.url}/data/experiments/{session}/assessors/QC1?format=json"
    ).json()["items"][0]
    assert item["data_fields"]["rater"] == "second"


def test_scan(lab: Lab):
    """A scan's document becomes a scan of the session."""
    session = lab.session()
    document = DOCUMENT.format(name="MRScan", attributes=' ID="7" type="derived"', content="")

    status, details = lab.run(
        lab.admin, lab.command(writing(document, kind="Scan", xsi_type=None)), session
    )

    assert (status, details) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}/scans/7", "FILES/x") == b"kept\n"


@pytest.mark.parametrize(
    "document",
    [
        "no xml",
        DOCUMENT.format(name="Nothing", attributes="", content=""),
        DOCUMENT.format(name="MRSession", attributes=' label="X"', content=""),
        qc(content="<xnat:nothing>1</xnat:nothing>"),
        qc(label="../x"),
        '<!DOCTYPE x [<!ENTITY y "z">]>' + qc(),
    ],
)
def test_documents_that_cannot_be_stored(lab: Lab, document: str):
    """A document that is no assessor of this server fails the upload with a sentence."""
    session = lab.session()

    status, details = lab.run(lab.admin, lab.command(writing(document)), session)

    assert status == "Failed (Upload)"
    assert "document" in details
    listed = lab.admin.http.get(f"{lab.url}/data/experiments/{session}/assessors?format=json")
    assert listed.json()["ResultSet"]["Result"] == []


def test_untyped_assessor_needs_the_right_in_the_end(lab: Lab):
    """Without a type in the handler a collaborator's run begins, and fails when it would store."""
    collaborator, session = lab.person("collaborator"), lab.session()

    status, _ = lab.run(collaborator, lab.command(writing(qc(), xsi_type=None)), session)

    assert status.startswith("Failed (")
    assert status.endswith("UnauthorizedException)")

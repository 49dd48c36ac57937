"""The real clients, unmodified: xnatpy and pyxnat make, change, list and delete objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import xnat
from xnat.exceptions import XNATLoginFailedError, XNATResponseError

from deploy.sandbox.datatypes import load_data_types
from tests.deploy.sandbox.conftest import unique_name


@pytest.fixture
def xnatpy(sandbox: Any) -> Iterator[Any]:
    """Return an xnatpy session of the administrator."""
    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        yield session


def test_xnatpy_connects_with_each_kind_of_credential(sandbox: Any, admin: Any) -> None:
    """A password and an alias token log in; a wrong password does not."""
    token = admin.get("/data/services/tokens/issue").json()

    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        assert session.xnat_version == "1.9.2"
    with xnat.connect(sandbox.url, user=token["alias"], password=token["secret"]) as session:
        assert session.get("/xapi/users/username").text == sandbox.admin_user
    with pytest.raises(XNATLoginFailedError):
        xnat.connect(sandbox.url, user=sandbox.admin_user, password="wrong")


def test_xnatpy_builds_a_class_for_every_type(xnatpy: Any) -> None:
    """Each data type of the schema has a class in the client."""
    known = set(xnatpy.XNAT_CLASS_LOOKUP)

    assert set(load_data_types().all_names()) <= known


def _project(session: Any) -> Any:
    name = unique_name("X")
    session.classes.ProjectData(parent=session, id_=name, name=name)
    session.clearcache()
    return session.projects[name]


@pytest.mark.parametrize("modality", ["Mr", "Pet", "Ct", "Petmr", "Eeg", "Meg", "OtherDicom"])
def test_xnatpy_makes_sessions_of_each_modality(xnatpy: Any, modality: str) -> None:
    """Project, subject, session and scan made by class constructors come back as those classes."""
    project = _project(xnatpy)
    scan_kind = "Mr" if modality == "Petmr" else modality

    subject = xnatpy.classes.SubjectData(parent=project, label="S1")
    session = getattr(xnatpy.classes, f"{modality}SessionData")(parent=subject, label="E1")
    getattr(xnatpy.classes, f"{scan_kind}ScanData")(parent=session, id="1", type="rest")

    xnatpy.clearcache()
    found = xnatpy.projects[project.id].experiments["E1"]
    assert type(found).__name__ == f"{modality}SessionData"
    assert found.subject.label == "S1"
    (scan,) = found.scans.values()
    assert (type(scan).__name__, scan.id, scan.type) == (f"{scan_kind}ScanData", "1", "rest")


def test_xnatpy_sets_attributes_and_custom_variables(xnatpy: Any) -> None:
    """Attributes, nested attributes, typed values and custom variables are stored and cleared."""
    project = _project(xnatpy)
    subject = xnatpy.classes.SubjectData(parent=project, label="S1")
    session = xnatpy.classes.MrSessionData(parent=subject, label="E1")
    scan = xnatpy.classes.MrScanData(parent=session, id="1", type="T1w")

    subject.demographics.gender = "female"
    subject.demographics.yob = 1980
    subject.fields["Cohort"] = "A"
    subject.fields["temporary"] = "B"
    del subject.fields["temporary"]
    session.date = "2024-01-31"
    session.fields["note"] = "ä 日本"
    scan.quality = "usable"
    scan.frames = 176
    scan.parameters.tr = 2300.0
    project.description = "A study"
    project.pi.lastname = "Example"

    xnatpy.clearcache()
    project = xnatpy.projects[project.id]
    subject, session = project.subjects["S1"], project.experiments["E1"]
    scan = session.scans["1"]
    assert (subject.demographics.gender, subject.demographics.yob) == ("female", 1980)
    assert dict(subject.fields) == {"cohort": "A"}
    assert session.date.isoformat() == "2024-01-31"
    assert session.fields["note"] == "ä 日本"
    assert (scan.quality, scan.frames, scan.parameters.tr) == ("usable", 176, 2300.0)
    assert (project.description, project.pi.lastname) == ("A study", "Example")


def test_xnatpy_renames_filters_and_tabulates(xnatpy: Any) -> None:
    """A renamed session is found by its new label; filters and tables see the stored values."""
    project = _project(xnatpy)
    for number, sex in (("1", "male"), ("2", "female")):
        subject = xnatpy.classes.SubjectData(parent=project, label=f"S{number}")
        subject.demographics.gender = sex
    session = xnatpy.classes.EegSessionData(parent=subject, label="E1")

    session.label = "E2"

    xnatpy.clearcache()
    project = xnatpy.projects[project.id]
    assert [e.label for e in project.experiments.values()] == ["E2"]
    assert [s.label for s in project.subjects.filter(gender="female").values()] == ["S2"]
    table = project.subjects.tabulate(columns=("label", "gender"))
    assert [(row.label, row.gender) for row in table] == [("S1", "male"), ("S2", "female")]


def test_xnatpy_makes_assessors_and_deletes(xnatpy: Any) -> None:
    """An assessor is listed below its session; deleted objects are gone from every list."""
    project = _project(xnatpy)
    subject = xnatpy.classes.SubjectData(parent=project, label="S1")
    session = xnatpy.classes.MrSessionData(parent=subject, label="E1")
    xnatpy.classes.MrScanData(parent=session, id="1", type="T1w")
    xnatpy.classes.QcManualAssessorData(parent=session, label="QC1")
    xnatpy.clearcache()
    session = xnatpy.projects[project.id].experiments["E1"]
    assert [a.label for a in session.assessors.values()] == ["QC1"]

    session.assessors["QC1"].delete()
    session.scans["1"].delete()
    xnatpy.clearcache()
    session = xnatpy.projects[project.id].experiments["E1"]
    left = (len(session.assessors), len(session.scans))
    session.delete()
    xnatpy.clearcache()
    xnatpy.projects[project.id].subjects["S1"].delete()
    xnatpy.clearcache()
    xnatpy.projects[project.id].delete()

    xnatpy.clearcache()
    assert left == (0, 0)
    assert project.id not in xnatpy.projects


def test_xnatpy_reports_a_refusal(xnatpy: Any) -> None:
    """A value that does not fit its field raises the client's own error."""
    project = _project(xnatpy)
    subject = xnatpy.classes.SubjectData(parent=project, label="S1")

    with pytest.raises(XNATResponseError, match="status 400"):
        xnatpy.put(f"/data/subjects/{subject.id}", query={"yob": "many"})


# pyxnat ---------------------------------------------------------------------------------------


@pytest.fixture
def interface(sandbox: Any) -> Iterator[Any]:
    """Return a pyxnat interface of the administrator."""
    pyxnat = pytest.importorskip("pyxnat", reason="pyxnat is not installed; uv pip install pyxnat")
    found = pyxnat.Interface(
        server=sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    )
    yield found
    found.disconnect()
    found._http.close()


def test_pyxnat_makes_and_finds_objects(interface: Any) -> None:
    """Objects made with pyxnat exist and know their IDs, labels and types."""
    project = interface.select.project(unique_name("P"))
    before = project.exists()

    project.create()
    subject = project.subject("S1").create()
    session = subject.experiment("E1").create(experiments="xnat:mrSessionData")
    scan = session.scan("1").create(scans="xnat:mrScanData")
    assessor = session.assessor("A1").create(assessors="xnat:qcAssessmentData")

    assert not before
    assert all(thing.exists() for thing in (project, subject, session, scan, assessor))
    assert (subject.label(), session.label(), assessor.label()) == ("S1", "E1", "A1")
    assert (session.datatype(), scan.datatype()) == ("xnat:mrSessionData", "xnat:mrScanData")
    assert [s.id() for s in project.subjects()] == [subject.id()]
    assert [e.id() for e in project.experiments()] == [session.id()]
    assert [e.id() for e in subject.experiments()] == [session.id()]
    assert session.scans().get() == ["1"]
    assert [a.label() for a in session.assessors()] == ["A1"]


def test_pyxnat_sets_and_gets_attributes(interface: Any) -> None:
    """Attributes are set and read by short name and by path, one and many at once."""
    project = interface.select.project(unique_name("P"))
    project.create()
    subject = project.subject("S1").create()
    session = subject.experiment("E1").create(experiments="xnat:eegSessionData")
    scan = session.scan("1").create(scans="xnat:eegScanData")

    subject.attrs.set("gender", "male")
    subject.attrs.mset({"xnat:subjectData/group": "patients", "age": "40"})
    session.attrs.set("date", "2024-01-31")
    scan.attrs.set("xnat:eegScanData/type", "rest")

    assert subject.attrs.get("gender") == "male"
    assert subject.attrs.mget(["xnat:subjectData/group", "age"]) == ["patients", "40"]
    assert session.attrs.get("date") == "2024-01-31"
    assert scan.attrs.get("type") == "rest"


def test_pyxnat_arrays_join_across_the_site(interface: Any) -> None:
    """The array queries answer experiments and scans with the columns that pyxnat reads."""
    project = interface.select.project(unique_name("P"))
    project.create()
    session = project.subject("S1").experiment("E1")
    session.create(experiments="xnat:mrSessionData")
    session.scan("1").create(scans="xnat:mrScanData")
    subject_id = project.subject("S1").id()

    (experiment,) = interface.array.experiments(project_id=project.id()).data
    (scan,) = interface.array.scans(project_id=project.id()).data

    assert (experiment["ID"], experiment["subject_ID"]) == (session.id(), subject_id)
    assert scan["xnat:imagescandata/id"] == "1"


def test_pyxnat_deletes(interface: Any) -> None:
    """Deleted scans, sessions and projects exist no more."""
    project = interface.select.project(unique_name("P"))
    project.create()
    session = project.subject("S1").experiment("E1")
    session.create(experiments="xnat:mrSessionData")
    scan = session.scan("1").create(scans="xnat:mrScanData")

    gone = []
    for thing in (scan, session, project):
        thing.delete()
        gone.append(not thing.exists())

    assert gone == [True, True, True]


def test_pyxnat_lists_data_types(interface: Any) -> None:
    """The searchable types and their fields are those of the schema."""
    kinds = interface.inspect.datatypes()
    fields = interface.inspect.datatypes("xnat:subjectData")

    assert {"xnat:projectData", "xnat:subjectData", "xnat:megSessionData"} <= set(kinds)
    assert "xnat:subjectData/SUBJECT_LABEL" in fields


def test_schemas_are_well_formed_documents(sandbox: Any, admin: Any) -> None:
    """Each listed schema is served, compiles as an XML schema, and is open to no stranger."""
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed; uv pip install lxml")

    class Server(etree.Resolver):  # type: ignore[misc] # lxml has no types
        """Finds a schema that another one imports where the server has it."""

        def resolve(self, url: str, _public_id: str, context: Any) -> Any:
            name = url.rpartition("/")[2].removesuffix(".xsd")
            return self.resolve_string(admin.get(f"/xapi/schemas/{name}/{name}").content, context)

    parser = etree.XMLParser()
    parser.resolvers.add(Server())

    names = admin.get("/xapi/schemas").json()
    for name in names:
        document = admin.get(f"/xapi/schemas/{name}").content
        etree.XMLSchema(etree.fromstring(document, parser))

    assert names == ["fs", "proc", "xdat", "xnat"]
    assert requests.get(f"{sandbox.url}/xapi/schemas", timeout=10).status_code == 401


def test_xnatpy_connects_without_the_types_of_plugins(sandbox: Any) -> None:
    """With ``extension_types=False`` xnatpy reads two schemas of XNAT's own, and works."""
    with xnat.connect(
        sandbox.url,
        user=sandbox.admin_user,
        password=sandbox.admin_password,
        extension_types=False,
    ) as connection:
        assert issubclass(connection.classes.MrSessionData, connection.classes.ImageSessionData)

"""Searches with a name and searches read in pages: whose they are, what they answer, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, unique_name

DOCUMENT = """<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="@xnat:subjectData"
 brief-description="{name}" description="of a test" secure="{secure}">
 <xdat:root_element_name>xnat:subjectData</xdat:root_element_name>
 <xdat:search_field><xdat:element_name>xnat:subjectData</xdat:element_name>
  <xdat:field_ID>SUBJECT_LABEL</xdat:field_ID></xdat:search_field>
 <xdat:search_field><xdat:element_name>xnat:subjectData</xdat:element_name>
  <xdat:field_ID>GENDER_TEXT</xdat:field_ID></xdat:search_field>
 <xdat:search_where method="AND"><xdat:criteria>
  <xdat:schema_field>xnat:subjectData/PROJECT</xdat:schema_field>
  <xdat:comparison_type>=</xdat:comparison_type><xdat:value>{project}</xdat:value>
 </xdat:criteria></xdat:search_where>{users}</xdat:bundle>"""


@pytest.fixture
def project(admin: Api, make_project: Any) -> str:
    """Return a project with five subjects, two of them male."""
    name: str = make_project()
    for number in range(1, 6):
        gender = "male" if number < 3 else "female"
        admin.made(f"/data/projects/{name}/subjects/S{number}", gender=gender)
    return name


def _document(name: str, project: str, *logins: str, secure: str = "false") -> str:
    shared = "".join(f"<xdat:login>{login}</xdat:login>" for login in logins)
    users = f"<xdat:allowed_user>{shared}</xdat:allowed_user>" if shared else ""
    return DOCUMENT.format(name=name, project=project, users=users, secure=secure)


def _store(api: Api, name: str, document: str) -> int:
    return api.put(f"/data/search/saved/{name}?inbody=true", data=document).status_code


# Stored -----------------------------------------------------------------------------------------


def test_stored_search_comes_back_runs_and_goes(make_user: Any, project: str) -> None:
    """A stored search is listed, answered as it was sent, run, replaced, and deleted."""
    owner, name = make_user(**{project: "collaborator"}), unique_name("q")
    path, document = f"/data/search/saved/{name}", _document(name, project)

    stored = [_store(owner, name, document), _store(owner, name, document)]

    assert stored == [200, 200]
    (listed,) = [row for row in owner.rows("/data/search/saved") if row["id"] == name]
    assert (listed["brief_description"], listed["description"], listed["root_element_name"]) == (
        name, "of a test", "xnat:subjectData",
    )  # fmt: skip
    assert owner.get(path).text == document
    rows = owner.rows(f"{path}/results")
    assert [row["subject_label"] for row in rows] == ["S1", "S2", "S3", "S4", "S5"]
    csv = owner.get(f"{path}/results?format=csv").text.splitlines()
    assert csv[:2] == ["subject_label,gender_text,quarantine_status", "S1,male,active"]
    assert owner.delete(path).status_code == 200
    assert owner.get(path).status_code == 404


def test_rows_of_a_stored_search_are_those_of_its_reader(make_user: Any, project: str) -> None:
    """Whoever runs a public search of somebody else gets only rows that he or she may read."""
    owner, stranger = make_user(**{project: "owner"}), make_user()
    name = unique_name("q")
    _store(owner, name, _document(name, project))

    found = [api.rows(f"/data/search/saved/{name}/results") for api in (owner, stranger)]

    assert [len(rows) for rows in found] == [5, 0]


def test_stored_searches_are_visible_to_whom_they_name(
    admin: Api, make_user: Any, project: str
) -> None:
    """Owner, named users and administrators see a search that names users, nobody else does."""
    owner, friend, stranger = make_user(), make_user(), make_user()
    named, secure = unique_name("q"), unique_name("q")
    _store(owner, named, _document(named, project, str(friend.login)))
    _store(owner, secure, _document(secure, project, secure="true"))

    seen = [
        [api.get(f"/data/search/saved/{name}").status_code for name in (named, secure)]
        + [len([row for row in api.rows("/data/search/saved") if row["id"] in {named, secure}])]
        for api in (owner, admin, friend, stranger)
    ]

    assert seen == [[200, 200, 2], [200, 200, 2], [200, 404, 1], [404, 404, 0]]


def test_others_may_not_change_a_stored_search(make_user: Any, project: str) -> None:
    """A search of somebody else can be neither replaced nor deleted, even by whom it names."""
    owner, friend, stranger = make_user(), make_user(), make_user()
    name = unique_name("q")
    document = _document(name, project, str(friend.login))
    _store(owner, name, document)

    refused = [_store(api, name, _document("x", project)) for api in (friend, stranger)]
    deleted = [api.delete(f"/data/search/saved/{name}").status_code for api in (friend, stranger)]

    assert (refused, deleted) == ([403, 403], [403, 404])
    assert owner.get(f"/data/search/saved/{name}").text == document


BAD_DOCUMENTS = [
    ("", 417),
    ("{}", 422),
    ("<a/>", 422),
    ("<bundle><root_element_name>xnat:nothing</root_element_name></bundle>", 422),
    ("<bundle><root_element_name>xnat:mrScanData</root_element_name></bundle>", 403),
    (DOCUMENT.format(name="", project="", users="", secure="").replace("GENDER_TEXT", "X"), 400),
]


@pytest.mark.parametrize(("document", "status"), BAD_DOCUMENTS)
def test_documents_that_cannot_run_are_not_stored(
    make_user: Any, document: str, status: int
) -> None:
    """What is no search of this server is refused when it is stored, and leaves nothing."""
    user, name = make_user(), unique_name("q")

    assert _store(user, name, document) == status
    assert user.get(f"/data/search/saved/{name}").status_code == 404


@pytest.mark.parametrize("name", ["a%20b", "a;b", "%00", "x" * 256])
def test_hostile_names_are_refused(make_user: Any, project: str, name: str) -> None:
    """The ID of a stored search has the characters of a label."""
    assert _store(make_user(), name, _document("x", project)) in {400, 417}


def test_pyxnat_saves_and_gets_searches(sandbox: Any, project: str) -> None:
    """Pyxnat's search manager saves, lists, reads, runs and deletes a search."""
    pyxnat = pytest.importorskip("pyxnat", reason="pyxnat is not installed; uv pip install pyxnat")
    interface = pyxnat.Interface(
        server=sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    )
    manager, name = interface.manage.search, unique_name("q")

    manager.save(
        name,
        "xnat:subjectData",
        ["xnat:subjectData/SUBJECT_LABEL"],
        [("xnat:subjectData/PROJECT", "=", project), "AND"],
        description="mine",
    )
    listed = manager.saved(with_description=True)
    rows = manager.get(name)
    query = manager.get(name, "query")
    manager.delete(name)
    left = manager.saved()
    interface.disconnect()
    interface._http.close()

    assert (name, "mine") in listed
    assert [row["subject_label"] for row in rows.data] == ["S1", "S2", "S3", "S4", "S5"]
    assert query["users"] == [sandbox.admin_user]
    assert name not in left


# Kept for paging --------------------------------------------------------------------------------


def _keep(api: Api, project: str) -> dict[str, Any]:
    answer = api.post("/data/search?cache=true&refresh=true", data=_document("x", project))
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["ResultSet"]
    return result


def test_pages_make_up_the_whole_answer(make_user: Any, project: str) -> None:
    """The pages of a kept search, put together, are its rows; each tells the number of them all."""
    reader = make_user(**{project: "collaborator"})
    kept = _keep(reader, project)
    path = f"/data/search/{kept['ID']}"

    pages = [reader.get(f"{path}?limit=2&offset={n}").json()["ResultSet"] for n in (0, 2, 4, 6)]

    assert [row for page in pages for row in page["Result"]] == kept["Result"]
    assert [len(page["Result"]) for page in pages] == [2, 2, 1, 0]
    assert {page["totalRecords"] for page in pages} == {"5"}
    assert {page["rootElementName"] for page in pages} == {"xnat:subjectData"}


def test_pages_are_sorted_before_they_are_cut(make_user: Any, project: str) -> None:
    """A page of a sorted search holds the first rows of the sorted whole."""
    reader = make_user(**{project: "collaborator"})
    path = f"/data/search/{_keep(reader, project)['ID']}"

    rows = reader.rows(path, limit="2", sortBy="subject_label", sortOrder="desc")

    assert [row["subject_label"] for row in rows] == ["S5", "S4"]


def test_columns_have_their_distinct_values(make_user: Any, project: str) -> None:
    """A column of a kept search answers each value once with the number of its rows."""
    reader = make_user(**{project: "collaborator"})
    path = f"/data/search/{_keep(reader, project)['ID']}"

    rows = reader.rows(f"{path}/GENDER_TEXT")

    assert [(row["values"], row["count"]) for row in rows] == [("female", "3"), ("male", "2")]
    assert reader.get(f"{path}/nothing").status_code == 404


def test_kept_searches_belong_to_their_maker(admin: Api, make_user: Any, project: str) -> None:
    """Nobody else reads a kept search, and its maker no longer what was taken away."""
    reader = make_user(**{project: "collaborator"})
    path = f"/data/search/{_keep(reader, project)['ID']}"
    member = f"/data/projects/{project}/users/{project}_collaborator/{reader.login}"

    others = [api.get(path).status_code for api in (admin, make_user())]
    before = len(reader.rows(path))
    assert admin.delete(member).status_code == 200

    assert others == [404, 404]
    assert (before, len(reader.rows(path))) == (5, 0)


@pytest.mark.parametrize("query", ["limit=x", "offset=-1", "limit=1e9", "limit=99999999999999"])
def test_pages_have_whole_numbers(make_user: Any, project: str, query: str) -> None:
    """A page that is no whole number is refused with 400."""
    reader = make_user()
    kept = _keep(reader, project)["ID"]

    assert reader.get(f"/data/search/{kept}?{query}").status_code == 400


def test_old_kept_searches_make_room(fresh_sandbox: Any) -> None:
    """After many kept searches of a person the first is forgotten, the newest are not."""
    from deploy.sandbox.search_rows import KEPT_PER_PERSON  # noqa: PLC0415 - beside its use

    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        kept = [_keep(admin, "NONE")["ID"] for _ in range(KEPT_PER_PERSON + 2)]
        found = [admin.get(f"/data/search/{kept[n]}").status_code for n in (0, 1, 2, -1)]

    assert found == [404, 404, 200, 200]


def test_strangers_need_to_log_in(sandbox: Any) -> None:
    """Without credentials every address of searches answers 401."""
    with Api(sandbox.url) as nobody:
        answers = [
            nobody.get("/data/search/saved"),
            nobody.get("/data/search/saved/x"),
            nobody.put("/data/search/saved/x", data="<a/>"),
            nobody.delete("/data/search/saved/x"),
            nobody.get("/data/search/xs1"),
        ]

    assert [answer.status_code for answer in answers] == [401] * 5

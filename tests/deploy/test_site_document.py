"""What a site file may say, and that each mistake is named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.site.document import SiteDocument
from deploy.site.errors import SiteFileError
from deploy.site.items import Item, find_changes

ARRIVAL = """\
commands: [{name: winqc}, {name: bids-assemble}]
projects:
- id: P
  commands:
  - name: winqc
  - name: bids-assemble
  on_arrival:
"""


def _read(folder: Path, text: str) -> SiteDocument:
    path = folder / "site.yaml"
    path.write_text(text)
    return SiteDocument(path)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 0, "is empty"),
        ("a: [", 1, "this is no YAML"),
        ("projects:\n- id: P\n- id: p\n", 3, "there twice"),
        ("projects:\n- id: P\n  title: a\n  title: b\n", 4, "there twice"),
        ("projects:\n- id: P\n  acessibility: private\n", 3, "did you mean 'accessibility'?"),
        ("projects:\n- id: P\n  accessibility: open\n", 3, "'private', 'protected' or 'public'"),
        ("projects:\n- id: a b\n", 2, "must match"),
        ("projects:\n- title: x\n", 2, "this key is needed"),
        ("projects: P\n", 1, "a list"),
        ("projects:\n- id: P\n  template: t\n", 3, "no template of this name"),
        ("projects:\n- id: P\n  exclusive: yes\n", 3, "true or false"),
        ("projects:\n- id: P\n  exclusive: true\n", 3, "needs 'owners'"),
        ("projects:\n- id: P\n  owners: [a]\n  members: [A]\n", 4, "in the project twice"),
        ("projects:\n- id: P\n  commands:\n  - name: dicom-to-bids\n", 4, "has no command"),
        (
            (
                "commands:\n- name: dicom-to-bids\nprojects:\n- id: P\n  commands:\n"
                "  - name: dicom-to-bids\n    defaults: {nosuch: 1}\n"
            ),
            6,
            "has no input nosuch",
        ),
        (
            (
                "commands:\n- name: dicom-to-bids\nprojects:\n- id: P\n  commands:\n"
                "  - name: dicom-to-bids\n  - name: dicom-to-bids\n"
            ),
            7,
            "there twice",
        ),
        ("commands:\n- name: nosuch\n", 2, "nosuch"),
        ("commands:\n- enabled: true\n", 2, "either a 'name'"),
        ("commands:\n- file: nosuch.json\n", 2, "there is no file"),
        ("commands:\n- file: site.yaml\n", 2, "no JSON"),
        ("properties:\n  requireLogin: {}\n", 2, "a text"),
        ("properties:\n  smtp.password: x\n", 2, "does not belong"),
        (
            (
                "properties:\n  securityAllowNonPrivateProjects: false\nprojects:\n- id: P\n"
                "  accessibility: public\n"
            ),
            5,
            "forbids it",
        ),
        ("anonymisation:\n  profile: a\n  script: b\n", 3, "there is no file"),
        ("subscriptions:\n- name: s\n  event: x\n", 3, "must match"),
        ("import_filter:\n  mode: blacklist\n  series: []\n", 3, "at least 1"),
        ("import_filter:\n  mode: map\n  series: [a]\n", 2, "'blacklist' or 'whitelist'"),
        ("receivers:\n- ae_title: A B\n  port: 104\n", 2, "must match"),
        ("receivers:\n- ae_title: A\n  port: 99999\n", 3, "less than 65536"),
        ("receivers:\n- ae_title: A\n  port: x\n", 3, "a whole number"),
        (
            "receivers:\n- ae_title: A\n  port: 104\n- ae_title: A\n  port: 104\n",
            4,
            "there twice",
        ),
        ("projects:\n- id: P\n  groups:\n  - name: owners\n    rights: {}\n", 4, "every project"),
        (
            "projects:\n- id: P\n  groups:\n  - name: g\n    rights: {xnat:x: write}\n",
            5,
            "'none', 'read', 'edit' or 'all'",
        ),
        (
            (
                "projects:\n- id: P\n  members: [a]\n  groups:\n  - name: g\n    rights: {}\n"
                "    people: [A]\n"
            ),
            7,
            "in the project twice",
        ),
        (f"{ARRIVAL}    commands: []\n", 8, "at least 1"),
        (f"{ARRIVAL}    commands: [winqc, winqc]\n", 8, "there twice"),
        (f"{ARRIVAL}    commands: [deface]\n", 8, "does not enable deface"),
        (f"{ARRIVAL}    commands: [bids-assemble]\n", 8, "0 wrappers that take a session"),
        (
            ARRIVAL.replace("bids-assemble", "eeg-to-bids").replace("winqc", "mriqc")
            + "    commands: [eeg-to-bids, mriqc]\n",
            7,
            "a data type in common",
        ),
        (f"{ARRIVAL}    commands: [winqc]\n    types: [MR]\n", 9, "must match"),
        (
            (
                f"{ARRIVAL}    commands: [winqc]\nsubscriptions:\n- name: arrival in P\n"
                "  event: SessionEvent\n  status: MERGED\n  command: bids-assemble\n"
            ),
            7,
            "is called arrival in P",
        ),
        ("a: &x 1\nb: *x\n", 2, "aliases"),
    ],
)
def test_mistake_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    """Whatever is wrong, the message has the file's line and says what it must be."""
    with pytest.raises(SiteFileError) as caught:
        _read(tmp_path, text)

    assert sentence in str(caught.value)
    if line:
        assert f"site.yaml:{line}:" in str(caught.value)


def test_the_documented_arrival_is_a_site_file(tmp_path: Path) -> None:
    """The second example of the page can be applied as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "site.md").read_text()

    document = _read(tmp_path, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[1])

    ((_, project),) = document.projects
    assert project.on_arrival is not None
    assert project.on_arrival.commands == ["dicom-to-bids", "winqc"]
    assert project.on_arrival.types == ["xnat:mrSessionData"]


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    """Who mends a file sees every line that must be mended, in the order of the file."""
    with pytest.raises(SiteFileError) as caught:
        _read(tmp_path, "projects:\n- id: a b\n- id: Q\n  colour: red\npeople:\n- login: ''\n")

    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[1] for line in lines] == ["2", "4", "6"]


def test_template_is_filled_in(tmp_path: Path) -> None:
    """A project's own values win; lists are put together; nobody is in two groups by a template."""
    document = _read(
        tmp_path,
        "templates:\n  t:\n    accessibility: private\n    prearchive: archive\n"
        "    members: [ann, ben]\n"
        "projects:\n- id: P\n  template: t\n  prearchive: wait\n  owners: [ann]\n"
        "  members: [cleo]\n",
    )

    ((_, project),) = document.projects
    assert (project.accessibility, project.prearchive) == ("private", "wait")
    assert (project.owners, project.members) == (["ann"], ["cleo", "ben"])
    assert project.title is None


def test_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    """A folder or a missing file is named, without a stack of calls."""
    for path in (tmp_path, tmp_path / "nosuch.yaml"):
        with pytest.raises(SiteFileError, match="Cannot read the site file"):
            SiteDocument(path)


def test_a_changed_value_shows_only_what_differs() -> None:
    """Of a value of many keys the plan has those that change, so that a long one hides nothing."""
    present = {"filter": "x" * 500, "active": True}
    item = Item(
        "a.b", "site.yaml:1", {**present, "active": False}, lambda: present, lambda _before: None
    )

    [change] = find_changes([item])

    assert (change.before, change.after) == ("active: true", "active: false")

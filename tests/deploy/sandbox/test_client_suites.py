"""The clients' own test suites, unmodified, against the sandbox.

They come with the source packages of xnatpy and pyxnat. What is left out needs something that is
not in the packages or that docs/sandbox.md calls absent; each is named with its reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.builders import xnatpy_suite

_ROOT = Path(__file__).resolve().parents[3]

_PYXNAT_MODULES = (
    "attributes_test", "custom_variables_test", "pathutil_test", "resources_test",
    "select_test", "uriutil_test", "user_and_project_management_test",
)  # fmt: skip
_PYXNAT_LEFT_OUT = {
    "attributes_test.py::test_06_list_project_attrs": "compares with the whole of XNAT's schema",
    "custom_variables_test.py::test_02_get_params": "counts comments inside XNAT's XML",
    "custom_variables_test.py::test_04_add_custom_variables": "protocols are not there",
    "resources_test.py::test_provenance": "processing steps (schema prov) are not there",
    "user_and_project_management_test.py::test_user_email": "the address of their administrator",
    "user_and_project_management_test.py::test_create_xml": "its file is not in the package",
}


def _pytest(folder: Path, import_path: Path, *arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull,
         f"--rootdir={folder}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(import_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout


@pytest.mark.slow
def test_xnatpys_functional_tests_pass(client_sources: Path, tmp_path: Path):
    (suite,) = client_sources.glob("xnat-*/xnat/tests")
    shutil.copytree(suite / "functional_tests", tmp_path / "functional_tests")
    shutil.copy(suite / "remote_server" / "test_server_parameters.py", tmp_path)
    variables = {xnatpy_suite.RESOURCES_VARIABLE: str(suite / "resources")}

    said = _pytest(tmp_path, _ROOT, "-p", xnatpy_suite.__name__, ".", **variables)

    assert said.splitlines()[-1].startswith("12 passed")


@pytest.fixture
def pyxnat_suite(client_sources: Path, fresh_sandbox: Any, tmp_path: Path) -> Path:
    """A folder with pyxnat, the files its tests send, and a server with the projects they name."""
    (source,) = client_sources.glob("pyxnat-*/pyxnat")
    shutil.copytree(source, tmp_path / "pyxnat")
    tests = tmp_path / "pyxnat" / "tests"
    (tests / "hello_xnat.txt").write_text("Hello XNAT!\n")
    (tests / "hello_again.txt").write_text("Hello again!\n")
    with zipfile.ZipFile(tests / "hello_dir.zip", "w") as archive:
        archive.writestr("hello_dir/hello_xnat_dir.txt", "1")
        archive.writestr("hello_dir/hello_dir2/hello_xnat_dir2.txt", "2")
    for name in (".devxnat.cfg", ".xnat.cfg"):
        document = {
            "server": fresh_sandbox.url,
            "user": fresh_sandbox.admin_user,
            "password": fresh_sandbox.admin_password,
        }
        (tmp_path / name).write_text(json.dumps(document))
    _make_projects(fresh_sandbox)
    return tmp_path


def _make_projects(sandbox: Any) -> None:
    import xnat  # noqa: PLC0415 - half a second, for this fixture only

    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as connection:
        named = {"description": "pyxnat CI tests"}
        connection.put("/data/projects/pyxnat_tests", query={**named, "alias": "pyxnat"})
        connection.put("/data/projects/pyxnat_tests2", query=named)
        for number in ("", *range(3, 10)):
            connection.put(f"/data/projects/nosetests{number}", query=named)


@pytest.mark.slow
def test_pyxnats_own_tests_pass(pyxnat_suite: Path):
    left_out = [f"--deselect=pyxnat/tests/{name}" for name in _PYXNAT_LEFT_OUT]

    said = _pytest(
        pyxnat_suite,
        pyxnat_suite,
        *left_out,
        *(f"pyxnat/tests/{name}.py" for name in _PYXNAT_MODULES),
    )

    assert f"{len(_PYXNAT_LEFT_OUT)} deselected" in said.splitlines()[-1]
    assert "skipped" not in said.splitlines()[-1]

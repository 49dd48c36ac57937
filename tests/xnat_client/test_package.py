"""The package's public face and its errors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import xnat_client
from xnat_client import errors

ROOT = Path(xnat_client.__file__).parent


def test_all_is_sorted_and_true() -> None:
    """Each public name exists, once, in order."""
    names = xnat_client.__all__

    assert names == sorted(set(names))
    assert [name for name in names if getattr(xnat_client, name, None) is None] == []
    assert set(names) <= set(dir(xnat_client))


def test_import_is_light() -> None:
    """Neither the package nor its command line's help imports a heavy library."""
    code = (
        "import sys, xnat_client, xnat_client.cli.main; "
        "heavy = {'xnat', 'pydicom', 'numpy', 'urllib3', 'rich', 'keyring'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_only_the_transport_speaks_http() -> None:
    """Only it and its connection import an HTTP library (xnatpy apart, which session offers)."""
    speakers = {"urllib3", "requests", "http", "httpx", "socket", "urllib.request"}
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            hits = {n for n in names if n in speakers or n.partition(".")[0] in speakers}
            if hits:
                found.setdefault(path.name, set()).update(hits)

    # Parsing a cookie header is no speaking.
    assert found.pop("login.py") == {"http.cookies"}
    assert set(found) == {"transport.py", "connection.py"}


def test_error_tree_is_documented_and_small() -> None:
    """Every class stands in the tree at the top of the module with its own exit code."""
    classes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.XnatClientError)
    ]
    subclasses = [one for one in classes if one is not errors.XnatClientError]

    assert len(subclasses) <= 10
    tree = (errors.__doc__ or "").splitlines()
    for one in classes:
        [line] = [text for text in tree if f" {one.__name__} " in f" {text.strip('│├└─ ')} "]
        assert int(line.split(one.__name__)[1].split()[0]) == one.exit_code

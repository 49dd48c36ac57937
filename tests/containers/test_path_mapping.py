"""Rewriting container paths to host paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.path_mapping import PathMapping

MAPPING = PathMapping(
    {"/input": Path("/h/in"), "/input/dicom": Path("/h/dicom"), "/output/": Path("/h/out")}
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/input", "/h/in"),
        ("/input/", "/h/in/"),
        ("/input/a/b", "/h/in/a/b"),
        ("/input/dicom", "/h/dicom"),
        ("/input/dicom/1.dcm", "/h/dicom/1.dcm"),
        ("/input/dicoms", "/h/in/dicoms"),
        ("/output", "/h/out"),
        ("--in=/input/x", "--in=/h/in/x"),
        ("a=b=/output", "a=b=/h/out"),
        ("/inputs", "/inputs"),
        ("/data/input", "/data/input"),
        ("input", "input"),
        ("-I/input", "-I/input"),
        ("see /input", "see /input"),
        ("http://host/input", "http://host/input"),
        ("/h/in/input", "/h/in/input"),
        ("", ""),
    ],
)
def test_argument_is_rewritten_at_its_start_and_after_an_equals_sign(
    text: str, expected: str
) -> None:
    """An argument is changed where a whole path starts it or follows ``=``, nowhere else."""
    assert MAPPING.argument(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/usr/bin:/input/bin:/output", "/usr/bin:/h/in/bin:/h/out"),
        ("/input:/usr/bin", "/h/in:/usr/bin"),
        ("http://xnat/input", "http://xnat/input"),
        ("plain text", "plain text"),
    ],
)
def test_environment_value_may_be_a_search_path(text: str, expected: str) -> None:
    """In an environment value a colon separates paths."""
    assert MAPPING.environment_value(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cp /input/a /output/b", "cp /h/in/a /h/out/b"),
        ("ls '/input/a' \"/input/b\"", "ls '/h/in/a' \"/h/in/b\""),
        ("a </input/x >/output/y 2>/output/z", "a </h/in/x >/h/out/y 2>/h/out/z"),
        ("(cd /input;ls)|wc>/output", "(cd /h/in;ls)|wc>/h/out"),
        ("x=$(ls /input)&&echo `ls /output`", "x=$(ls /h/in)&&echo `ls /h/out`"),
        ("--a=/input,/output", "--a=/h/in,/h/out"),
        ("cp /input/*.dcm /data/input /inputs", "cp /h/in/*.dcm /data/input /inputs"),
        ("echo \\/input", "echo \\/input"),
    ],
)
def test_shell_line_is_rewritten_at_word_boundaries(line: str, expected: str) -> None:
    """A shell line is changed where a path stands as a word or after an operator."""
    assert MAPPING.shell_line(line) == expected


@given(
    folder=st.text(
        st.characters(codec="utf-8", exclude_characters="/\0\n\r", exclude_categories=["Cs"]),
        min_size=1,
        max_size=20,
    )
)
@pytest.mark.parametrize("line", ["/input/f", "'/input/f'", '"/input/f"', "/input'/f'"])
def test_host_path_stays_one_word_for_a_real_shell(line: str, folder: str) -> None:
    """Whatever characters a host path has, ``/bin/sh`` reads it back exactly."""
    mapping = PathMapping({"/input": Path("/h") / f"x{folder}"})

    printed = subprocess.run(
        ["/bin/sh", "-c", mapping.shell_line(f"printf %s {line}")],
        capture_output=True,
        check=True,
    )

    assert printed.stdout.decode() == f"/h/x{folder}/f"


@pytest.mark.parametrize(
    ("container_path", "expected"),
    [
        ("/input/dicom/x", Path("/h/dicom/x")),
        ("/input", Path("/h/in")),
        ("/work", None),
        ("", None),
    ],
)
def test_host_path_of_a_folder(container_path: str, expected: Path | None) -> None:
    """A folder below a mapped one has a host path, any other has none."""
    assert MAPPING.host_path(container_path) == expected


@pytest.mark.parametrize("path", ["/", "input", ""])
def test_root_and_relative_paths_are_refused(path: str) -> None:
    """Neither the root nor a relative path can be mapped."""
    with pytest.raises(ValueError, match=r"^"):
        PathMapping({path: Path("/h")})

"""A real browser: Debian's Chromium, spoken to by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, or a skip that says how to have it."""
    program = os.environ.get("WINXNAT_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("Chromium is not here; install the package chromium (run: bash .ci/run)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="winxnat[dev] is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()

"""The committed description of the API is the one that the code gives."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_description_is_current():
    described = runpy.run_path(str(ROOT / "scripts" / "write-openapi.py"))["description"]()
    committed = (ROOT / "docs" / "reference" / "openapi.json").read_text("utf-8")
    assert committed == described, "run `make docs`"

"""The flows that come with Tenderline: to be used as they are, or copied and changed."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def texts() -> dict[str, str]:
    """Their TOML texts by name."""
    folder = resources.files("tenderline.flows")
    return {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }

"""The flows that come with the product. Copy one to make it yours."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tenderline.core.errors import NotFoundError
from tenderline.flows.check import checked
from tenderline.flows.graph import Flow

_FOLDER = "tenderline.flows"


def names() -> tuple[str, ...]:
    """Of all of them, sorted."""
    return tuple(sorted(file.name[: -len(".toml")] for file in files(_FOLDER).iterdir() if file.name.endswith(".toml")))


def text(name: str) -> str:
    """One as it is written; raises `NotFoundError`."""
    if name not in names():
        raise NotFoundError(f"No flow {name!r} is shipped; there are {', '.join(names())}.")
    return files(_FOLDER).joinpath(f"{name}.toml").read_text("utf-8")


@cache
def flow(name: str) -> Flow:
    """One, checked; raises `NotFoundError`."""
    return checked(f"{name}.toml", text(name))

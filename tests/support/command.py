"""A command as an operator types it: a process of its own, with settings from its environment."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND_TIMEOUT_S = 60.0


async def run(*words: str, environment: Mapping[str, str], stdin: bytes | None = None) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `tenderline {words}`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenderline", *words, env=dict(environment), cwd="/",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(child.communicate(stdin), COMMAND_TIMEOUT_S)
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


def environment_of(database_url: str, data_dir: Path) -> dict[str, str]:
    """For a command that needs a database and nothing else."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TENDERLINE_")}
    wanted = {"TENDERLINE_DATABASE_URL": database_url, "TENDERLINE_DATA_DIR": str(data_dir)}
    return inherited | wanted | {"TENDERLINE_LOG_LEVEL": "warning"}

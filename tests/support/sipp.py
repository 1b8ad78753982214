"""How the tests start sipp, a test caller that is not ours: on ports of its own, so that two may run at once."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

# Above those of a voice node, below those the system hands out by itself (Linux: from 32768), so that nobody takes
# one between look and bind.
PORTS = range(30_000, 32_000, 4)

# sipp names another media port for each call, four further, up to 10,000 further, and does not listen there: with very
# many calls that must stay below the ports of others, who would get what the node sends.
CALLS_MANY = 200
MANY_MEDIA_PORT = 10_000


def sipp_command(
    scenario: Path, called: str, node_port: int, *, calls: int, rate: float, host: str = "127.0.0.1"
) -> list[str]:
    """The words that place `calls` calls to `called`, `rate` of them a second, all held at once."""
    sip, media = random.sample([port for port in random.sample(PORTS, 50) if _is_free(port)], 2)
    if calls > CALLS_MANY:
        media = MANY_MEDIA_PORT
    return [
        *("sipp", "-sf", str(scenario), "-s", called, "-m", str(calls), "-l", str(calls), "-r", f"{rate:g}"),
        *("-i", host, "-p", str(sip), "-mi", host, "-mp", str(media), "-nostdin"),
        f"{host}:{node_port}",
    ]


def _is_free(port: int) -> bool:
    """Whether this port and the one two above (sipp binds both for media) can be bound."""
    with contextlib.ExitStack() as probes:
        for offset in (0, 2):
            probe = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                probe.bind(("", port + offset))
            except OSError:
                return False
    return True

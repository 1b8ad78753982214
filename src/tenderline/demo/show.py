"""Runs the demo: once through with a report, or open until Ctrl-C with a few payments failing meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

import aiohttp
from rich.console import Console
from rich.panel import Panel

from tenderline.core.errors import TenderlineError
from tenderline.demo import moves, stage
from tenderline.demo.scenarios import SCENARIOS, Scenario
from tenderline.demo.stage import Stage


async def run(*, once: bool, as_json: bool, port: int) -> int:
    """The exit code: 0 when every promise was kept."""
    console = Console(stderr=True)
    console.print("Starting the database, the product and the simulated bank, carrier and mailbox …", style="dim")
    playing = asyncio.current_task()
    assert playing is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, playing.cancel)
    try:
        async with stage.open_stage(port) as opened:
            if once:
                return await _play(opened, as_json, console)
            await _open_house(opened, console)
    except asyncio.CancelledError:
        return 1 if once else 0  # asked to stop: both sides were taken down on the way here
    return 0


async def _play(opened: Stage, as_json: bool, console: Console) -> int:
    kept = True
    for scenario in SCENARIOS:
        report = await _report(opened, scenario)
        kept &= bool(report["ok"])
        if as_json:
            sys.stdout.write(json.dumps(report, default=str) + "\n")
            sys.stdout.flush()
        else:
            mark = "[green]✓[/]" if report["ok"] else "[red]✗[/]"
            console.print(f"{mark} {scenario.__doc__}")
            if not report["ok"]:
                console.print(f"  {report['error']}", style="red")
    return 0 if kept else 1


async def _report(opened: Stage, scenario: Scenario) -> dict[str, object]:
    report: dict[str, object] = {"scenario": scenario.__name__, "ok": False, "shows": scenario.__doc__}
    started = time.monotonic()
    try:
        report |= {"ok": True, **await scenario(opened)}
    except (TenderlineError, aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        report |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return report | {"seconds": round(time.monotonic() - started, 1)}


async def _open_house(opened: Stage, console: Console) -> None:
    _, ann = opened.numbers.by_day()
    _, edda = opened.numbers.by_night()
    await moves.decline_live(opened, name="Ann Ashdown", phone=ann, email="ann@example.org")
    await moves.fail_renewal(opened, name="Ben Brook", email="ben@example.org", decline_code="insufficient_funds")
    await moves.fail_renewal(opened, name="Edda East", phone=edda, decline_code="expired_card")
    console.print(
        Panel(
            f"The board        [b]{opened.product_url}[/]\n"
            f"                 sign in as [b]{stage.EMAIL}[/], password [b]{stage.PASSWORD}[/]\n"
            f"The other side   [b]{opened.sandbox_url}[/]   bank, handsets, mailbox, faults\n\n"
            f"1  Open Ann's handset ({opened.sandbox_url}/handset/{ann}), follow the link, pay; watch the board.\n"
            f"2  Make a payment fail for a number of your own making ({opened.sandbox_url}/bank), answer STOP on its "
            "handset, fail another: nothing leaves.\n"
            f"3  Switch a fault on ({opened.sandbox_url}/faults), such as 'answer 500 after taking it', and watch the "
            "doubt being settled.\n\nCtrl-C ends it and throws its data away.",
            title="Tenderline demo",
        )
    )
    await asyncio.Event().wait()

"""`tenderline audit`: whether the log of who did what is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="The tamper-evident log.")


@app.command("verify")
def verify(as_json: Json = False) -> None:
    """Walk the whole chain and hold it against the signed heads; names the first bad row."""

    async def walk(services: Services) -> None:
        from tenderline.store import audit

        heads = audit.read_heads(services.audit_head_file)
        key = audit.load_public_key(services.audit_key_file)
        verdict = await audit.verify(services.pool, heads, key)
        text = f"{verdict.why} ({verdict.rows} rows, {len(heads)} signed heads)"
        frame.say({"rows": verdict.rows, "badNumber": verdict.bad_number, "why": verdict.why}, as_json, text)
        if verdict.bad_number is not None:
            raise typer.Exit(frame.EXIT_FAILED)

    frame.with_services(walk)

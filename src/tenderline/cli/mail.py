"""`tenderline mail`: what a mail server hands over of the answers to our messages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from tenderline.cli import frame
from tenderline.core.errors import MalformedWebhookError, TenderlineError

if TYPE_CHECKING:
    from tenderline.app import Services

# sysexits.h: a mail server tries again after the first, and tells the sender after the second.
EXIT_TRY_AGAIN = 75
EXIT_NOT_READABLE = 65
READ_BYTES_MAX = 64 * 1024 * 1024

app = typer.Typer(no_args_is_help=True, help="Receive answers by e-mail.")


@app.command("receive")
def receive() -> None:
    """Take one message on standard input: the target of a mail server's pipe. Ends only when it is on disk."""
    raw = sys.stdin.buffer.read(READ_BYTES_MAX)

    async def keep(services: Services) -> None:
        from tenderline.messengers.mail_replies import MailReplies, envelope_of
        from tenderline.store.inbox import Inbox

        async with Inbox(services.pool) as box:
            await box.receive(MailReplies.name, envelope_of(raw))

    try:
        frame.with_services(keep)
    except MalformedWebhookError as error:
        typer.echo(f"tenderline: {error.detail}", err=True)
        sys.exit(EXIT_NOT_READABLE)
    except (TenderlineError, OSError) as error:
        typer.echo(f"tenderline: {error}; the mail server should try again.", err=True)
        sys.exit(EXIT_TRY_AGAIN)

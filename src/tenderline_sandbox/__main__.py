"""`python -m tenderline_sandbox`: runs the sandbox until told to stop, and says on one line where everything is."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence

from tenderline_sandbox.app import Sandbox, SandboxSettings
from tenderline_sandbox.bank import BankProcessError


def settings_of(arguments: Sequence[str]) -> SandboxSettings:
    """The settings that a command line asks for; ends the program with a reason when it makes no sense."""
    defaults = SandboxSettings()
    parser = argparse.ArgumentParser(
        prog="python -m tenderline_sandbox",
        description="A simulated carrier, mailbox and bank on this machine, for demos and tests.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--product-url", default=defaults.product_url, help="where the product listens; empty: nothing is posted to it")
    add("--port", type=int, default=defaults.port, help="port of the pages and APIs; 0 takes a free one")
    add("--smtp-port", type=int, default=defaults.smtp_port, help="port of the mail server; 0 takes a free one")
    add("--bank-port", type=int, default=defaults.bank_port, help="port of the bank's inner server; 0 takes a free one")
    add("--account-sid", default=defaults.account_sid, help="the carrier account's name")
    add("--auth-token", default=defaults.auth_token, help="its password, which also signs webhooks")
    add(
        "--carrier-number",
        dest="carrier_numbers",
        action="append",
        help=f"a number that the product may send from; repeat for more (default: {defaults.carrier_numbers[0]})",
    )
    add("--messaging-service-sid", default=defaults.messaging_service_sid, help="a service that picks the number")
    add("--inbound-path", default=defaults.inbound_path, help="where the product takes the carrier's webhooks")
    add("--callback-delay-ms", type=int, default=defaults.callback_delay_ms, help="time between two message states")
    add("--carrier-keeps-opt-outs", action="store_true", help="the carrier itself refuses numbers that wrote STOP")
    add("--smtp-username", default=None, help="ask mail clients to sign in with this name")
    add("--smtp-password", default=None, help="and this password")
    add("--smtp-starttls", action="store_true", help="require TLS of mail clients")
    add("--smtp-certificate-path", default=None, help="where to write the certificate authority to trust")
    add("--api-key", default=defaults.api_key, help="the bank's API key")
    add("--webhook-secret", default=defaults.webhook_secret, help="what the bank signs its webhooks with")
    add("--stripe-webhook-path", default=defaults.stripe_webhook_path, help="where the product takes them")
    add("--crm-client-id", default=defaults.crm_client_id, help="who may ask the donor CRM")
    add("--crm-client-secret", default=defaults.crm_client_secret, help="and the secret")
    chosen = vars(parser.parse_args(arguments))
    chosen["carrier_numbers"] = tuple(chosen["carrier_numbers"] or defaults.carrier_numbers)
    try:
        return SandboxSettings(**chosen)
    except ValueError as error:
        parser.error(str(error))


async def run(settings: SandboxSettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Sandbox(settings) as sandbox:
        certificate = sandbox.smtp_certificate_path
        ready = {
            "ready": True,
            "url": sandbox.url,
            "smtp_host": sandbox.smtp_host,
            "smtp_port": sandbox.smtp_port,
            "smtp_certificate_path": str(certificate) if certificate else None,
            "account_sid": settings.account_sid,
            "carrier_numbers": settings.carrier_numbers,
            "crm_client_id": settings.crm_client_id,
        }
        print(json.dumps(ready), flush=True)
        await stopped.wait()


def main() -> int:
    """The program."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of its own deprecations at every login
    settings = settings_of(sys.argv[1:])
    try:
        asyncio.run(run(settings))
    except OSError as error:
        print(f"The sandbox could not start: {error}. Is another one running? Choose other ports.", file=sys.stderr)
        return 1
    except BankProcessError as error:
        print(f"The sandbox could not start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

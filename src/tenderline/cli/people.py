"""`tenderline people accounts`: what callers are identified by on the telephone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="People, and the accounts they are identified by.")
accounts_app = typer.Typer(no_args_is_help=True, help="Read accounts in, look at one, let one be tried again.")
app.add_typer(accounts_app, name="accounts")

Number = Annotated[str, typer.Argument(help="The account's number, as it is keyed in.", show_default=False)]
REASONS_SHOWN_MAX = 20


@accounts_app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV in UTF-8; its first line names the columns: account, pin, postal_code, name, phone, email,"
            " balance, currency.",
            show_default=False,
        ),
    ],
    region: Annotated[
        str | None, typer.Option(help="Country of numbers without a country code; left out: compliance.default_region.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Of balances without one.")] = "USD",
    as_json: Json = False,
) -> None:
    """Read accounts in. One that is there is changed; a PIN that is left out stays; balances are as the file says."""

    async def do(services: Services) -> None:
        from tenderline.people import accounts_import
        from tenderline.store import audit

        rejected: list[tuple[int, str]] = []

        def reject(line: int, why: str) -> None:
            if len(rejected) < REASONS_SHOWN_MAX:
                rejected.append((line, why))

        try:
            opened = file.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
        with opened:
            report = await accounts_import.read_in(
                services.pool,
                opened,
                region=region or services.settings.compliance.default_region,
                currency=currency,
                on_reject=reject,
            )
        counted = {name: getattr(report, name) for name in ("lines", "new", "changed", "rejected")}
        async with services.pool.acquire() as connection, connection.transaction():
            await audit.append(
                connection, actor=frame.actor(), action="accounts.import", subject="accounts", data=counted
            )
        told = [
            f"{report.lines:,} lines: {report.new:,} new, {report.changed:,} changed, {report.rejected:,} rejected."
        ]
        told += [f"  line {line}: {why}" for line, why in rejected]
        if report.rejected > len(rejected):
            told.append(f"  and {report.rejected - len(rejected):,} more")
        values = {**counted, "reasons": [{"line": line, "why": why} for line, why in rejected]}
        frame.say(values, as_json, "\n".join(told))

    frame.with_services(do)


@accounts_app.command("show")
def show(number: Number, as_json: Json = False) -> None:
    """Whose an account is, what is owed on it, and how many tries it has seen."""

    async def do(services: Services) -> None:
        from tenderline.core.money import Money
        from tenderline.store import accounts

        settings = services.settings.identification
        async with services.pool.acquire() as connection:
            found = await accounts.get(connection, number)
            tries = await accounts.tries(connection, accounts.of_account(number), window_s=settings.window_h * 3600)
        if found is None:
            raise typer.BadParameter(f"there is no account {number}")
        owed = Money(found.balance_minor or 0, found.currency).format() if found.currency else "not known"
        locked = tries >= settings.account_tries_max
        values = {
            "account": found.number,
            "personId": str(found.person_id),
            "hasPin": found.has_pin,
            "postalCode": found.postal_code,
            "balanceMinor": found.balance_minor,
            "currency": found.currency,
            "readInAt": found.read_in_at.isoformat(),
            "tries": tries,
            "locked": locked,
        }
        text = (
            f"Account {found.number}, person {found.person_id}. Owed: {owed}, as of {found.read_in_at:%Y-%m-%d %H:%M}."
            f" PIN: {'set' if found.has_pin else 'none'}; postal code: {found.postal_code or 'none'}."
            f" Tries: {tries} of {settings.account_tries_max}{', locked' if locked else ''}."
        )
        frame.say(values, as_json, text)

    frame.with_services(do)


@accounts_app.command("unlock")
def unlock(number: Number) -> None:
    """Forget the tries at an account: it may be tried again at once."""

    async def do(services: Services) -> None:
        from tenderline.store import accounts, audit

        async with services.pool.acquire() as connection, connection.transaction():
            await accounts.forget_tries(connection, accounts.of_account(number))
            await audit.append(
                connection, actor=frame.actor(), action="accounts.unlock", subject=f"account:{number}", data={}
            )
        typer.echo(f"{number} may be tried again.")

    frame.with_services(do)


@accounts_app.command("remove")
def remove(number: Number) -> None:
    """Nobody is identified by this account any more; the person and her payments stay."""

    async def do(services: Services) -> None:
        from tenderline.store import accounts, audit

        async with services.pool.acquire() as connection, connection.transaction():
            there = await accounts.remove(connection, number)
            if there:
                await audit.append(
                    connection, actor=frame.actor(), action="accounts.remove", subject=f"account:{number}", data={}
                )
        if not there:
            raise typer.BadParameter(f"there is no account {number}")
        typer.echo(f"There is no account {number} any more.")

    frame.with_services(do)

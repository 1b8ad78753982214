"""Asking Stripe: the official SDK's calls and errors as ours. One call is one request; nothing is repeated here."""

from __future__ import annotations

from collections.abc import Awaitable
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import stripe

from tenderline.core.clock import utc_now
from tenderline.gateways.base import GatewayRefusedError, GatewayUnavailableError


class NotThereError(GatewayRefusedError):
    """Stripe knows no such object."""


class Told(NamedTuple):
    """What Stripe answered, as plain JSON."""

    fields: dict[str, Any]
    at_unix_s: int
    """When it said so, by its own clock (the `Date` header): what orders a read among events.

    The object's `created` would not do: it is when the payment began, so every event since would overrule the read.
    """


def refusal(what: str, error: stripe.StripeError) -> GatewayRefusedError | GatewayUnavailableError:
    """The SDK's error as ours. Its own message is left out: it may quote what was sent."""
    status = error.http_status
    facts = ", ".join(str(part) for part in (status, error.code, error.request_id) if part)
    if isinstance(error, stripe.APIConnectionError):
        return GatewayUnavailableError(f"Stripe did not answer ({what}: {type(error.__cause__).__name__}); try later.")
    if isinstance(error, stripe.RateLimitError) or status is None or status < 400 or status == 409 or status >= 500:
        return GatewayUnavailableError(f"Stripe could not answer ({what}: {facts or 'no status'}); try later.")
    if status == 401:
        return GatewayRefusedError(f"Stripe does not know the API key ({what}: {facts}); check stripe.api_key.")
    if status == 403:
        return GatewayRefusedError(f"Stripe's key may not do this ({what}: {facts}); give it that permission.")
    # A 404 of another form comes from something that is not Stripe: no proof that the object is missing.
    missing = status == 404 and isinstance(error, stripe.InvalidRequestError)
    refused = NotThereError if missing else GatewayRefusedError
    return refused(f"Stripe refused the request ({what}: {facts}); its dashboard shows why under that request id.")


def _date(answer: stripe.StripeObject) -> int:
    headers = answer.last_response.headers if answer.last_response else {}
    try:
        return int(parsedate_to_datetime(str(headers.get("date"))).timestamp())
    except (ValueError, OverflowError):
        return int(utc_now().timestamp())


async def ask(what: str, call: Awaitable[stripe.StripeObject]) -> Told:
    """Awaits one call of the SDK and translates whatever goes wrong.

    Beside the SDK's own errors these come out of it: those of aiohttp, while it reads a body; `TypeError`, or the bare
    value, when the answer is JSON but not an object (a proxy's page, say).
    """
    try:
        answer = await call
        if isinstance(answer, stripe.StripeObject):
            return Told(answer.to_dict(), _date(answer))
        why = type(answer).__name__
    except stripe.StripeError as error:
        raise refusal(what, error) from None
    except (aiohttp.ClientError, TimeoutError, OSError, TypeError) as error:
        why = type(error).__name__
    raise GatewayUnavailableError(f"Stripe did not answer ({what}: {why}); try later.")

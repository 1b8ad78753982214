"""Verifying one webhook, alone: microseconds, and how much of it is more than the signature itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from pydantic import SecretStr

from tenderline.config import StripeSettings
from tenderline.gateways.stripe import Stripe
from tests.bench import events
from tests.bench.events import Shape
from tests.bench.ground import SECRET, Ground, Say
from tests.bench.report import Figure, Result, middle
from tests.bench.sizes import Sizes
from tests.bench.timing import in_turns, ratios

NOW_UNIX_S = 1_767_225_600
SHAPES: tuple[Shape, ...] = ("small", "large")
HOW = (
    "`gateways.stripe.Stripe.verify`: signature and time checked, id, type and subject read from the JSON. The bare"
    " signature is one HMAC-SHA256 over the same bytes."
)


def _cases(shape: Shape) -> tuple[Callable[[int], object], Callable[[int], object]]:
    gateway = Stripe(StripeSettings(webhook_secrets=[SecretStr(SECRET)]))
    body = events.body(shape, events.serial("evt", 1))
    signed = b"%d.%b" % (NOW_UNIX_S, body)
    secret = SECRET.encode()
    signature = hmac.digest(secret, signed, "sha256").hex()
    headers = {
        "content-type": b"application/json; charset=utf-8",
        "stripe-signature": f"t={NOW_UNIX_S},v1={signature}".encode(),
    }
    return lambda _: gateway.verify(headers, body, float(NOW_UNIX_S)), lambda _: hmac.digest(secret, signed, "sha256")


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Both sizes, verified and bare, in turns."""
    del ground
    say("verify")
    figures: list[Figure] = []
    absolutes: list[Figure] = []
    for shape in SHAPES:
        what = f"{round(len(events.body(shape, b'aaaaaaaaaaaaaaa')), -1):,} bytes"
        whole, bare = _cases(shape)
        taken = in_turns({"whole": whole, "bare": bare}, sizes.calls, sizes.repeats)
        figures.append(middle(f"{what}: verified to bare signature", ratios(taken["whole"], taken["bare"]), "ratio"))
        absolutes.append(middle(f"{what}: verified", taken["whole"], unit="µs"))
        absolutes.append(middle(f"{what}: bare signature", taken["bare"], unit="µs"))
    return Result(name="verify", title="Verifying one webhook of Stripe's", how=HOW, figures=figures + absolutes)

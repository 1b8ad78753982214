"""A process of the product that is killed, or stopped, exactly at a step of its work: `fatal_steps.py STEP COMMAND`.

It runs the product's own code. Around one function it waits for the call that matters and then sends itself the
signal, as a kill -9 or a SIGSTOP from outside would at the worst moment. `STEP` is `signal:when:function`.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from typing import Any

POINTS = {
    "claim": ("tenderline.store.attempts", "claim"),
    "write": ("tenderline.notify.delivery", "write"),
    "hand_over": ("tenderline.store.outcomes", "hand_over"),
    "send": ("tenderline.messengers.twilio", "Twilio.send"),
    "record": ("tenderline.store.outcomes", "record_accepted"),
    "insert": ("tenderline.store.inbox", "Inbox._insert"),
    "read": ("tenderline.worker.read", "handle_webhook"),
    "lease_webhooks": ("tenderline.store.outgoing", "lease"),
    "post_webhook": ("tenderline.outgoing.sender", "Sender.post"),
    "record_webhook": ("tenderline.store.outgoing", "record"),
    "carry_out": ("tenderline.payments.refunds", "carry_out"),
    "refund": ("tenderline.gateways.stripe", "Stripe.refund"),
    "open_case": ("tenderline.recovery.cases", "on_payment_failed"),
}


def arm(step: str) -> None:
    """Puts the trap around the function."""
    name, when, point = step.split(":")
    number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[name]
    module_name, path = POINTS[point]
    owner: Any = importlib.import_module(module_name)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, attribute)

    def strike() -> None:
        os.kill(os.getpid(), number)

    def matters(result: Any) -> bool:
        if point == "lease_webhooks":
            return bool(result)
        return bool(result.leased) if point == "claim" else True

    if point == "write":

        @functools.wraps(original)
        def plain(*args: Any, **kwargs: Any) -> Any:
            strike()
            return original(*args, **kwargs)

        setattr(owner, attribute, plain)
        return

    @functools.wraps(original)
    async def trapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            strike()
        result = await original(*args, **kwargs)
        if when == "after" and matters(result):
            strike()
        return result

    setattr(owner, attribute, trapped)


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.argv = ["tenderline", *sys.argv[2:]]
    from tenderline.cli import main

    main()

"""The demo's scenarios: promises, kept on real protocols or broken out loud; the docstring is what each shows."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tenderline.demo.moves import (
    case_of,
    decline_live,
    event,
    fail_renewal,
    link_in,
    mails_to,
    pay_by,
    post_event,
    reply,
    require,
    texts_to,
    until_attempt,
    until_case,
)
from tenderline.demo.stage import Stage
from tenderline.store import audit, db

Scenario = Callable[[Stage], Awaitable[dict[str, Any]]]


async def declined_card_is_recovered_by_text(stage: Stage) -> dict[str, Any]:
    """A card is declined at the bank; one text with a link leaves, arrives, is paid, and nothing more is ever sent."""
    _, phone = stage.numbers.by_day()
    email = "ann@example.org"
    transaction = await decline_live(stage, name="Ann Ashdown", phone=phone, email=email)
    await until_attempt(stage, transaction, "sms", "delivered")
    (text,) = await texts_to(stage, phone)
    await pay_by(stage, link_in(text["body"]))
    case = await until_case(stage, transaction, "the case to be recovered", "recovered")
    require(case["transactionStatus"] == "COMPLETED", "The payment is complete once the bank's webhook said so.")
    waiting = [one for one in case["attempts"] if one["state"] in ("planned", "leased")]
    require(not waiting, "After the payment nothing is planned any more.")
    require(len(await texts_to(stage, phone)) == 1, "Exactly one text left.")
    require(not await mails_to(stage, email), "No e-mail followed the payment.")
    return {"transaction": transaction, "texts": 1, "contacts": len(case["attempts"])}


async def failed_renewal_is_recovered_by_mail(stage: Stage) -> dict[str, Any]:
    """Three events tell of one failed renewal: one case, one e-mail, paid by its link."""
    email = "ben@example.org"
    transaction = await fail_renewal(stage, name="Ben Brook", email=email, decline_code="insufficient_funds")
    await until_attempt(stage, transaction, "email", "accepted")
    (mail,) = await mails_to(stage, email)
    await pay_by(stage, link_in(mail["text"]))
    case = await until_case(stage, transaction, "the case to be recovered", "recovered")
    require(case["reason"] == "insufficient_funds", "The bank's reason became ours.")
    require(len(await mails_to(stage, email)) == 1, "Three events made one e-mail.")
    return {"transaction": transaction, "mails": 1, "reason": case["reason"]}


async def stop_silences_every_channel(stage: Stage) -> dict[str, Any]:
    """A payer answers STOP; from that instant she is silent on every channel, also for a debt that comes later."""
    _, phone = stage.numbers.by_day()
    email = "cara@example.org"
    first = await fail_renewal(stage, name="Cara Cole", phone=phone, email=email)
    await until_attempt(stage, first, "sms", "delivered")
    (text,) = await texts_to(stage, phone)
    await reply(stage, phone, text["from"], "Stop please!")

    async def opted_out() -> bool:
        case = await case_of(stage, first)
        return case is not None and any(one["kind"] == "PersonOptedOut" for one in case["timeline"])

    await stage.until("the opt-out on the timeline", opted_out)
    second = await fail_renewal(stage, name="Cara Cole", phone=phone, email=email)
    await until_attempt(stage, second, "sms", "suppressed")
    await stage.until("the text that confirms the STOP", lambda: _confirmed(stage, phone))
    asking = [one for one in await texts_to(stage, phone) if "no more messages" not in one["body"]]
    require(len(await texts_to(stage, phone)) == 2, "One text followed the STOP: that it was heard.")
    require(len(asking) == 1, "No text that asks for anything followed the STOP.")
    require(not await mails_to(stage, email), "No e-mail followed the STOP.")
    return {"transactions": [first, second], "texts_after_stop": ["confirmation"], "mails_after_stop": 0}


async def _confirmed(stage: Stage, phone: str) -> bool:
    return any("no more messages" in one["body"] for one in await texts_to(stage, phone))


async def one_click_unsubscribe_is_heard(stage: Stage) -> dict[str, Any]:
    """A mail program's unsubscribe button silences her just as well."""
    email = "dora@example.org"
    transaction = await fail_renewal(stage, name="Dora Dean", email=email)
    await until_attempt(stage, transaction, "email", "accepted")
    (mail,) = await mails_to(stage, email)
    await stage.control("POST", "/control/mailbox/unsubscribe", {"id": mail["id"]})
    again = await fail_renewal(stage, name="Dora Dean", email=email)
    await until_attempt(stage, again, "email", "suppressed")
    require(len(await mails_to(stage, email)) == 1, "No e-mail followed the unsubscription.")
    return {"mails_after_unsubscribe": 0}


async def at_night_it_waits_for_the_morning(stage: Stage) -> dict[str, Any]:
    """Where it is night now, the message waits for 08:00 there."""
    zone, phone = stage.numbers.by_night()
    transaction = await fail_renewal(stage, name="Edda East", phone=phone)

    async def deferred() -> dict[str, Any] | None:
        case = await case_of(stage, transaction)
        decisions = [one["decision"] for one in case["attempts"] if one["decision"]] if case else []
        return next((one for one in decisions if one["answer"] == "defer"), None)

    decision = await stage.until("the gate to put the contact off", deferred)
    require(any(rule["id"] == "OWN-HOURS" for rule in decision["rules"]), "The hours rule said so.")
    require(not await texts_to(stage, phone), "Nothing left at night.")
    return {"zone": zone, "until": decision["until"], "rules": [rule["id"] for rule in decision["rules"]]}


async def what_is_unclear_is_held_and_shown(stage: Stage) -> dict[str, Any]:
    """An unknown currency, a negative amount, a payer without an address, a number nobody can dial: held, with why."""
    wrong: dict[str, dict[str, Any]] = {
        "currency": {"email": "f1@example.org", "currency": "zzz"},
        "amount": {"email": "f2@example.org", "amount": -2500},
        "no address": {"name": "Nobody Known"},
        "telephone": {"phone": "12"},
    }
    held: dict[str, str] = {}
    for what, fields in wrong.items():
        transaction = f"pi_demo_{secrets.token_hex(8)}"
        subject = {
            "id": transaction,
            "object": "payment_intent",
            "amount": fields.get("amount", 2500),
            "currency": fields.get("currency", "usd"),
            "status": "requires_payment_method",
            "last_payment_error": {
                "code": "card_declined",
                "decline_code": "generic_decline",
                "payment_method": {
                    "billing_details": {key: fields[key] for key in ("name", "email", "phone") if key in fields}
                },
            },
        }
        body = event(f"evt_{secrets.token_hex(8)}", "payment_intent.payment_failed", subject)
        require(await post_event(stage, body, secret=stage.webhook_secret) == 200, "It is acknowledged.")
        case = await until_case(stage, transaction, f"the case with a bad {what} to be held", "held")
        require(not case["attempts"], "Nothing is planned for it.")
        held[what] = case["heldWhy"]
    return {"held": held}


async def webhooks_that_cannot_be_trusted_are_refused(stage: Stage) -> dict[str, Any]:
    """Forged, stale and card-carrying webhooks are refused; an unknown kind and a repeat are acknowledged."""
    genuine = event(f"evt_{secrets.token_hex(8)}", "radar.early_fraud_warning.created", {"id": "issfr_1"})
    card = "4242424242" + "424242"
    carrying = event(f"evt_{secrets.token_hex(8)}", "charge.failed", {"id": "ch_1", "note": f"card {card}"})
    secret = stage.webhook_secret
    statuses = {
        "unknown kind": await post_event(stage, genuine, secret=secret),
        "repeated": await post_event(stage, genuine, secret=secret),
        "forged": await post_event(stage, genuine, secret="whsec_somebody_else"),  # noqa: S106
        "stale": await post_event(stage, genuine, secret=secret, at_unix_s=1_700_000_000),
        "from the future": await post_event(stage, genuine, secret=secret, at_unix_s=4_000_000_000),
        "card number": await post_event(stage, carrying, secret=secret),
        "10 MB": await post_event(stage, b"x" * 10_000_000, secret=secret),
    }
    expected = {"unknown kind": 200, "repeated": 200, "forged": 400, "stale": 400, "from the future": 400,
                "card number": 422, "10 MB": 413}  # fmt: skip
    require(statuses == expected, f"Expected {expected}, got {statuses}.")
    return {"statuses": statuses}


async def carrier_that_fails_after_taking_it_sends_once(stage: Stage) -> dict[str, Any]:
    """The carrier takes a text and answers 500: it is asked what became of it, and nobody gets it twice."""
    _, phone = stage.numbers.by_day()
    await stage.control("PUT", "/faults/carrier", {"fail_after_success_next": 1, "lose_callbacks_next": 10})
    transaction = await fail_renewal(stage, name="Gus Gray", phone=phone)
    await until_attempt(stage, transaction, "sms", "delivered")
    await stage.control("PUT", "/faults/carrier", {"fail_after_success_next": 0, "lose_callbacks_next": 0})
    case = await until_case(stage, transaction, "the case")
    kinds = [one["kind"] for one in case["timeline"]]
    require("AttemptInDoubt" in kinds, "The doubt is on the timeline.")
    require(len(await texts_to(stage, phone)) == 1, "Exactly one text left.")
    return {"texts": 1, "timeline": kinds}


async def busy_carrier_is_tried_again(stage: Stage) -> dict[str, Any]:
    """The carrier says 429: the text waits as long as it was told to, passes the gate again, and arrives once."""
    _, phone = stage.numbers.by_day()
    await stage.control("PUT", "/faults/carrier", {"rate_limit_next": 2, "retry_after_s": 1})
    transaction = await fail_renewal(stage, name="Hana Hill", phone=phone)
    await until_attempt(stage, transaction, "sms", "delivered")
    case = await until_case(stage, transaction, "the case")
    kinds = [one["kind"] for one in case["timeline"]]
    require("AttemptBackedOff" in kinds, "The back-off is on the timeline.")
    require(len(await texts_to(stage, phone)) == 1, "Exactly one text left.")
    return {"texts": 1, "backed_off": kinds.count("AttemptBackedOff")}


async def audit_log_is_whole(stage: Stage) -> dict[str, Any]:
    """Everything that was done is in the audit chain, and the chain verifies."""
    async with db.open_pool(stage.database_url, size_max=2) as pool:
        heads = audit.read_heads(stage.data_dir / "audit_heads.jsonl")
        key = audit.load_public_key(stage.data_dir / "audit_signing_key.pem")
        verdict = await audit.verify(pool, heads, key)
        require(verdict.bad_number is None, verdict.why)
        require(verdict.rows > 0, "The opt-outs are in the log.")
        try:
            await pool.execute("DELETE FROM audit")
        except asyncpg.RaiseError:
            return {"rows": verdict.rows, "deleting": "refused by the database"}
    require(False, "The database lets audit rows be deleted.")
    return {}


SCENARIOS: tuple[Scenario, ...] = (
    declined_card_is_recovered_by_text,
    failed_renewal_is_recovered_by_mail,
    stop_silences_every_channel,
    one_click_unsubscribe_is_heard,
    at_night_it_waits_for_the_morning,
    what_is_unclear_is_held_and_shown,
    webhooks_that_cannot_be_trusted_are_refused,
    carrier_that_fails_after_taking_it_sends_once,
    busy_carrier_is_tried_again,
    audit_log_is_whole,
)

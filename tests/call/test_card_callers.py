"""Whatever callers do on the donation line, all of them at once: the right cards are charged, once, and nothing stays.

The product runs as processes of its own. The callers are telephones of ours and baresip; each case is what one
caller does and hears. What must hold for all of them is looked at in the end.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support import baresip, gift_town
from support.baresip import Baresip
from support.gift_town import DECLINED, LINE, NOTHING, THANKS
from support.sipp import sipp_command
from support.sipp_keys import write_caller
from tenderline.flows import card_words
from tenderline.store import db, lines

pytestmark = pytest.mark.real_voice
GOOD, AMEX = "4242" * 4, "3782" + "822463" + "10005"
REFUSED = "4" + "0" * 14 + "2"
JCB = "3566" + "0020" + "2036" + "0505"
WRONG = "4242" * 3 + "4243"
YEN_LINE = "gifts-yen"
TOO_LITTLE = "The smallest gift that we can take by telephone is five."
TOO_MUCH = "For a gift of that size, please speak with one of us."
NO_AMOUNT = "That is not an amount."
WAIT = "Thank you. Your gift is being confirmed. This takes a moment."
WARM = 8
ALL_S = 240.0
SIPP_BETWEEN_S = 5.0
PAID, DECLINED_ONCE, LEFT, NONE = ["taken"], ["declined"], [], None
CASES = {}
AT_THAT_MOMENT = {"a_hang_up_at_the_word_of_the_charge"}
"""She hangs up as the bank is asked: she has paid, or nothing was tried and she gets the link."""


def ends_with(charges, session=""):
    """The caller's tries end so; None: it never came to a payment. `session` is the state of the payment."""

    def keep(case):
        CASES[case.__name__] = (case, charges, session)
        return case

    return keep


# --- At the amount ---------------------------------------------------------------------------------------------------


@ends_with(LEFT, "abandoned")
async def who_offers_too_little_is_asked_again(phone):
    await phone.calls()
    await phone.press("1")
    await phone.names_amount("3#")
    await phone.hears(TOO_LITTLE)
    await phone.names_amount("5#")
    await phone.hears(gift_town.ASK_IF_RIGHT)
    await phone.press("1")
    await phone.asked("ask_number")
    phone.hang_up()


@ends_with(NONE)
async def who_offers_a_thousand_million_is_led_to_somebody(phone):
    await phone.calls()
    await phone.press("1")
    await phone.names_amount("1000000000#")
    await phone.hears(TOO_MUCH)
    phone.hang_up()


@ends_with(NONE)
async def nothing_and_less_than_a_cent_are_no_amounts(phone):
    await phone.calls()
    await phone.press("1")
    for keys in ("0#", "0*004#"):
        await phone.names_amount(keys)
        await phone.hears(NO_AMOUNT)
    phone.hang_up()


@ends_with(PAID, "completed")
async def a_line_of_another_currency_takes_that_one_and_no_fraction_of_it(phone):
    await phone.calls(YEN_LINE)
    await phone.press("1")
    await phone.names_amount("2500*50#")
    await phone.hears(NO_AMOUNT)
    await phone.names_amount("2500#")
    await phone.hears(gift_town.ASK_IF_RIGHT)
    await phone.press("1")
    await phone.keys_card(GOOD)
    await phone.hears(THANKS)


# --- At the card -----------------------------------------------------------------------------------------------------


async def finishes(phone, number=GOOD, code="123", expiry="1230"):
    await phone.keys_card(number, code, expiry)
    await phone.hears(THANKS)
    await phone.is_hung_up(within_s=60)


@ends_with(PAID, "completed")
async def a_wrong_number_and_then_the_right_one(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.press(f"{WRONG}#")
    await phone.asked("number_wrong")
    await finishes(phone)


@ends_with(PAID, "completed")
async def an_expired_card_and_then_its_successor(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.press(f"{GOOD}#")
    await phone.asked("confirm_number")
    await phone.press("1")
    await phone.asked("ask_expiry")
    await phone.press("0120")
    await phone.asked("expired")
    await phone.asked("ask_expiry")
    await phone.press("1230")
    await phone.asked("confirm_expiry")
    await phone.press("1")
    for prompt in ("ask_code", "ask_code_again"):
        await phone.asked(prompt)
        await phone.press("123")
    await phone.hears(THANKS)


@ends_with(PAID, "completed")
async def a_brand_that_is_not_taken_and_then_one_that_is(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.press(f"{JCB}#")
    await phone.asked("brand_not_allowed")
    await finishes(phone)


@ends_with(PAID, "completed")
async def a_star_begins_a_field_again(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.press("42424*")
    await phone.asked("cleared")
    await phone.press(f"{GOOD}#")
    await phone.asked("confirm_number")
    await phone.press("1")
    await phone.asked("ask_expiry")
    await phone.press("12*")
    await phone.asked("cleared")
    await phone.press("1230")
    await phone.asked("confirm_expiry")
    await phone.press("1")
    for prompt in ("ask_code", "ask_code_again"):
        await phone.asked(prompt)
        await phone.press("123")
    await phone.hears(THANKS)


@ends_with(PAID, "completed")
async def bursts_of_keys_and_keys_after_a_fields_end_answer_nothing(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.press("7" * 22, gap_s=0)
    await phone.asked("number_wrong")
    await phone.asked("ask_number")
    await phone.press(f"{GOOD}#", gap_s=0)
    await phone.asked("confirm_number")
    await phone.press("1")
    await phone.asked("ask_expiry")
    await phone.press("1230" + "2#", gap_s=0)
    await phone.asked("confirm_expiry")
    await phone.press("1")
    for prompt in ("ask_code", "ask_code_again"):
        await phone.asked(prompt)
        await phone.press("123" + "#", gap_s=0)
    await phone.hears(THANKS)


@ends_with(PAID, "completed")
async def an_amex_with_four_digits(phone):
    await phone.gives()
    await finishes(phone, AMEX, "1234")


@ends_with(["declined", "taken"], "completed")
async def a_decline_and_another_card(phone):
    await phone.gives()
    await phone.keys_card(REFUSED)
    await phone.hears(DECLINED)
    await finishes(phone)


@ends_with(["declined"] * 3, "declined")
async def three_declines_are_enough(phone):
    await phone.gives()
    for tried in range(3):
        await phone.keys_card(REFUSED)
        await phone.hears(DECLINED if tried < 2 else NOTHING)
    phone.hang_up()


@ends_with(LEFT, "abandoned")
async def who_says_nothing_is_led_on(phone):
    await phone.gives()
    await phone.asked("ask_number")
    await phone.asked("nothing_keyed")
    await phone.hears("Nothing was charged.", within_s=90)
    phone.hang_up()


# --- Who hangs up ----------------------------------------------------------------------------------------------------


@ends_with(NONE)
async def a_hang_up_at_the_greeting(phone):
    await phone.calls()
    await phone.hears(gift_town.GREETING)
    phone.hang_up()


@ends_with(NONE)
async def a_hang_up_at_the_amount(phone):
    await phone.calls()
    await phone.press("1")
    await phone.names_amount("2")
    phone.hang_up()


@ends_with(NONE)
async def a_hang_up_at_the_read_back(phone):
    await phone.calls()
    await phone.press("1")
    await phone.names_amount()
    await phone.hears("Your gift is")
    phone.hang_up()


def hangs_up_at(place, prompt, charges, session):
    """Somebody who hangs up in the room of the card, as soon as she hears this."""

    async def case(phone):
        await phone.gives()
        answers = {"ask_number": f"{GOOD}#", "confirm_number": "1", "ask_expiry": "1230", "confirm_expiry": "1"}
        for asked, keys in {**answers, "ask_code": "123", "ask_code_again": "123"}.items():
            await phone.asked(asked)
            if asked == prompt:
                break
            await phone.press(keys)
        else:
            await phone.hears(prompt)
        phone.hang_up()

    case.__name__ = f"a_hang_up_at_{place}"
    ends_with(charges, session)(case)


for one in ("ask_number", "confirm_number", "ask_expiry", "confirm_expiry", "ask_code", "ask_code_again"):
    hangs_up_at(one, one, LEFT, "abandoned")
hangs_up_at("the_word_of_the_charge", WAIT, PAID, "completed")  # or nothing at all: see AT_THAT_MOMENT
hangs_up_at("the_thanks", THANKS, PAID, "completed")


# --- Other telephones ------------------------------------------------------------------------------------------------


async def a_gift_by_baresip(gifts, folder, number, wire):
    """It is heard what it hears, and its keys are those of another maker."""
    account = f"<sip:+1202555{number:04d}@{gifts.host}:{gifts.sip_port}>;regint=0"
    phone = Baresip(folder / "baresip", wire, account)

    async def asked(words, keys):
        await phone.heard(await gifts.prompts.clip(words, "en"))
        for key in keys:
            await phone.press(key)

    async with phone.running():
        await phone.command("dial", f"sip:{LINE}@{gifts.host}:{gifts.sip_port}")
        await phone.told("CALL_ESTABLISHED")
        await asked(gift_town.GREETING, "1")
        await asked(gift_town.ASK_AMOUNT, "25#")
        await asked(gift_town.ASK_IF_RIGHT, "1")
        for prompt, keys in (
            ("ask_number", f"{WRONG}#"), ("number_wrong", f"{GOOD}#"), ("confirm_number", "1"), ("ask_expiry", "1230"),
            ("confirm_expiry", "1"), ("ask_code", "123"), ("ask_code_again", "123"),
        ):  # fmt: skip
            await asked(card_words.TEXTS[prompt].words("en")[0], keys)
        await asked(THANKS, "")
        await phone.told("CALL_CLOSED")


async def by_sipp(gifts, folder, number, card_keys, *, hangs_up=False):
    """It hears nothing: it keys on, each time when every prompt has begun, and its keys are those of a third maker."""
    scenario = write_caller(
        folder / f"sipp-{number}.xml", f"+1202555{number:04d}", ("1", "25#", "1", *card_keys),
        between_s=SIPP_BETWEEN_S, hangs_up=hangs_up,
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *sipp_command(scenario, LINE, gifts.sip_port, calls=1, rate=1, host=gifts.host),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# --- All of them -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def wire():
    async with baresip.wire() as made:
        yield made


@pytest.fixture
async def gifts(database_url, tmp_path, wire):
    tmp_path.chmod(0o755)
    settings = {
        "CAPTURE__WARM": str(WARM),
        "CAPTURE__TRIES_MAX": "2",
        "CAPTURE__ALLOWED_BRANDS": "visa,amex",
        "STRIPE__TIMEOUT_S": "30",
    }
    async with db.open_pool(database_url, size_max=1) as pool, pool.acquire() as connection:
        await lines.put_line(
            connection, number=YEN_LINE, flow="donation", campaign="test", language="en", currency="JPY",
            fund=None, record=False, by="test",
        )  # fmt: skip
    async with gift_town.open_gift_town(database_url, tmp_path, host=wire.node_host, **settings) as made:
        yield made


def rooms_of(pid):
    """Card rooms that are children of this process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == pid and b"tenderline.cardholder" in line:
                found.append(int(entry.name))
    return found


async def one_call(gifts, number, case):
    await asyncio.sleep(number * 0.2)
    async with gifts.giver(number) as phone:
        await case(phone)


async def tries_of(gifts, number):
    """The states of the caller's tries and of her payment; None when she never came to one."""
    sessions = await gifts.town.fetch(
        "SELECT s.id, s.state, s.currency FROM capture_session s JOIN conversation c ON c.id = s.conversation_id"
        " WHERE c.caller = $1",
        f"+1202555{number:04d}",
    )
    assert len(sessions) <= 1
    if not sessions:
        return None, ""
    charges = await gifts.town.fetch(
        "SELECT state FROM charge WHERE session_id = $1 ORDER BY created_at", sessions[0]["id"]
    )
    return [row["state"] for row in charges], sessions[0]["state"]


async def test_whatever_callers_do_all_at_once_the_right_cards_are_charged_once_and_nothing_stays(
    gifts, wire, tmp_path
):
    expected = {number: (name, *CASES[name][1:]) for number, name in enumerate(CASES, 1)}
    work = {name: one_call(gifts, number, CASES[name][0]) for number, (name, *_) in expected.items()}
    work["a_gift_by_baresip"] = a_gift_by_baresip(gifts, tmp_path, 300, wire)
    expected[300] = ("a_gift_by_baresip", PAID, "completed")
    work["a_gift_by_sipp"] = by_sipp(gifts, tmp_path, 301, (f"{GOOD}#", "1", "1230", "1", "123", "123"))
    expected[301] = ("a_gift_by_sipp", PAID, "completed")
    work["a_hang_up_by_sipp"] = by_sipp(gifts, tmp_path, 302, (f"{GOOD}#", "1", "12"), hangs_up=True)
    expected[302] = ("a_hang_up_by_sipp", LEFT, "abandoned")
    async with asyncio.timeout(ALL_S):
        ended = await asyncio.gather(*work.values(), return_exceptions=True)
    failed = {name: repr(error) for name, error in zip(work, ended, strict=True) if error is not None}
    assert failed == {}
    await is_quiet(gifts)
    for number, (name, charges, session) in expected.items():
        found = await tries_of(gifts, number)
        assert (name, *found) == (name, charges, session) or (name in AT_THAT_MOMENT and found == (LEFT, "abandoned"))
    await nothing_stays(gifts)


async def is_quiet(gifts):
    """Every call is over, every payment is settled, and every text has left."""

    async def over():
        open_calls = await gifts.town.fetchval("SELECT count(*) FROM conversation WHERE ended_at IS NULL")
        unsettled = await gifts.town.fetchval("SELECT count(*) FROM capture_session WHERE state IN ('open', 'charged')")
        return not open_calls and not unsettled and len(rooms_of(gifts.voice.pid)) <= WARM

    await gift_town.product.until(over, "all calls to be over, paid or left")


async def nothing_stays(gifts):
    """No charge without a record, no payer charged twice, no room, and one link at most for each who hung up."""
    town = gifts.town
    bank = await town.sandbox.bank._server.sdk.v1.payment_intents.list_async({"limit": 100})
    succeeded = {one.id for one in bank.data if one.status == "succeeded"}
    recorded = [row[0] for row in await town.fetch("SELECT transaction_id FROM charge WHERE state = 'taken'")]
    assert (set(recorded), len(recorded)) == (succeeded, len(succeeded))
    links = await town.fetch("SELECT person_id, count(*) FROM attempt WHERE template = 'call_link' GROUP BY person_id")
    assert all(row["count"] == 1 for row in links)
    assert await town.fetchval("SELECT count(*) FROM capture_session WHERE currency = 'JPY' AND amount_minor = 2500")
    assert gifts.voice.returncode is None

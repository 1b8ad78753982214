"""Four cards are keyed in on whole calls of a running product, and then no digit of them is anywhere; planted ones are.

Looked through by the real command: the database and its files, logs at their most talkative, recordings, temporary
files, the memory of every process, and all packets that the agents' telephones ever received.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest

from support import gift_town, pcap, planted, processes, services
from support.gift_town import NOTHING, THANKS
from tenderline.store import db
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.voice import packet
from tenderline.voice.trial_phone import TrialPhone, speech_like

pytestmark = pytest.mark.real_voice
SCAN_S = 240.0
VISA, DECLINED = "4242" * 4, "4" + "0" * 11 + "9995"
AMEX = "3714" + "496353" + "98431"
LONG_VISA = "4929" + "000017" + "482903515"
CARDS = {VISA: "918", DECLINED: "947", AMEX: "9163", LONG_VISA: "968"}

# Recorded from the greeting on, also with an agent; silent while a card is keyed in.
MORE = """
[node.announcement]
step = "say"
text = { en = "This call may be recorded.", es = "Esta llamada puede ser grabada." }
cut_by_key = false
announces_recording = true
next = "recording"

[node.recording]
step = "record_on"
next = "greeting"

[node.quiet]
step = "record_off"
next = "card"

[node.loud]
step = "record_on"
next = "somebody"

[node.second]
step = "queue"
queue = "second"
exits = { talked = "how_much", timed_out = "call_back", nobody = "call_back" }
"""


def flow():
    changes = {
        'start = "greeting"': 'start = "announcement"',
        'confirmed = "card"': 'confirmed = "quiet"',
        "text_announced = true": "text_announced = true\ndeclines_max = 1",
        '2 = "somebody"\n3': '2 = "second"\n3',
        'Una persona le ayudará." }\nnext = "somebody"': 'Una persona le ayudará." }\nnext = "loud"',
    }
    return gift_town.donation(changes) + MORE


@pytest.fixture
async def gifts():
    """The product on a database of its own, whose files can be searched too."""
    with processes.open_folder() as folder:
        (folder / "temporary").mkdir(mode=0o777)
        server = EmbeddedPostgres(folder, durable=False)
        await asyncio.to_thread(server.start)
        try:
            await db.migrate(server.url)
            settings = {"LOG_LEVEL": "debug", "SCAN__ENABLED": "false", "SECRET_KEY": services.KEY.decode()}
            async with gift_town.open_gift_town(server.url, folder, flow=flow(), logs=True, **settings) as made:
                yield made
        finally:
            await asyncio.to_thread(server.stop)


@asynccontextmanager
async def agent(gifts, name):
    """An agent's telephone; every packet that reaches it is written down beside the data."""
    capture = pcap.Capture(gifts.town.data_dir / f"{name}.pcap")
    async with TrialPhone(on_call=None) as phone:
        pcap.listen_at(phone, capture)
        assert await phone.register(gifts.at, name, "secret")
        yield phone, capture
    capture.close()


async def talk(giver, phone, card):
    """The two talk, and the caller, who has misunderstood, keys her card for the agent."""
    await phone.pick_up(within_s=60)
    await speaks_until_heard(phone, giver)
    await giver.press(card)
    await giver.speak(planted.tones(card))
    await speaks_until_heard(giver, phone)
    phone.hang_up()


async def speaks_until_heard(speaker, listener):
    """On a machine that has much to do some words are lost on the way."""
    words = speech_like(1.0)
    frames = [words[at : at + 160] for at in range(0, len(words), 160)]

    async def speak():
        while True:
            await speaker.speak(words)

    speaking = asyncio.create_task(speak())
    try:
        await listener.hear(frames, within_s=30)
    finally:
        speaking.cancel()


async def is_thanked(gifts, number, card):
    async with gifts.giver(number) as phone:
        await phone.gives()
        await phone.keys_card(card, CARDS[card])
        await phone.hears(THANKS)
        await phone.is_hung_up(within_s=60)


async def is_declined_and_helped(gifts, helper):
    async with gifts.giver(1) as phone:
        await phone.gives()
        await phone.keys_card(DECLINED, CARDS[DECLINED])
        await phone.hears(NOTHING)
        await talk(phone, helper, DECLINED)
        await phone.is_hung_up(within_s=20)


async def is_helped_and_thanked(gifts, helper):
    async with gifts.giver(2) as phone:
        await phone.calls()
        await phone.hears(gift_town.GREETING)
        await phone.press("2")
        await talk(phone, helper, AMEX)
        await phone.names_amount("70#")
        await phone.hears(gift_town.ASK_IF_RIGHT)
        await phone.press("1")
        await phone.keys_card(AMEX, CARDS[AMEX])
        await phone.hears(THANKS)
        await phone.is_hung_up(within_s=60)


def canaries():
    """The numbers, and the codes as requests, JSON and Python write them: three digits alone stand everywhere."""
    forms = ("cvc]={}", "cvc%5D={}", '"{}"', "'{}'")
    return "\n".join([*CARDS, *(form.format(code) for code in CARDS.values() for form in forms)]).encode()


async def scan(gifts, *words):
    """(exit code, report) of the command. Who else works on this machine is not our subject: their processes are not
    counted."""
    environment = gifts.town.environment(gifts.town.ports[0]) | {"TMPDIR": str(gifts.town.data_dir / "temporary")}
    command = gift_town.as_root(sys.executable, "-m", "tenderline", "scan", "--json", "--canary", "-", *words)
    child = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd="/", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(child.communicate(canaries()), SCAN_S)
    report = json.loads(out)
    return child.returncode, report


def ours(gifts, entries, name):
    """Entries of a report that are not about the processes of others on this machine."""
    pids = gifts.pids | set(processes.postgres_processes(gifts.town.data_dir))
    return [
        one for one in entries if not one[name].startswith("process ") or int(one[name].split()[1].strip(",")) in pids
    ]


async def test_no_digit_of_four_cards_stays_anywhere_and_planted_ones_are_found(gifts):
    async with agent(gifts, "anna") as (anna, annas), agent(gifts, "bob") as (bob, bobs):
        await asyncio.gather(
            is_declined_and_helped(gifts, anna),
            is_helped_and_thanked(gifts, bob),
            is_thanked(gifts, 3, VISA),
            is_thanked(gifts, 4, LONG_VISA),
        )
    rows = await gifts.town.fetch("SELECT brand, last_four, state FROM charge ORDER BY last_four")
    assert [tuple(row) for row in rows] == [
        ("visa", LONG_VISA[-4:], "taken"), ("visa", "4242", "taken"), ("amex", AMEX[-4:], "taken"),
        ("visa", "9995", "declined"),
    ]  # fmt: skip
    assert min(annas.packets, bobs.packets) > 100, "the agents' packets are there to be searched"
    stored = await gifts.town.fetchval("SELECT count(*) FROM recording WHERE state = 'stored'")
    assert stored == 4
    _, report = await scan(gifts)
    found, unsearched = ours(gifts, report["findings"], "where"), ours(gifts, report["notSearched"], "what")
    assert (found, unsearched) == ([], []), json.dumps([found, unsearched], indent=1)
    searched = {one["what"]: one["count"] for one in report["searched"]}
    assert searched["recordings"] == 4
    assert searched["processes"] >= 3 + 5, "the product's and those of its database"
    await plant(gifts)
    code, report = await scan(gifts, "--only", "database,files,recordings")
    assert code == 1
    wheres = [one["where"] for one in report["findings"]]
    for place in ("voice.log", "table public.planted", "recording ", "planted.pcap"):
        assert any(place in one for one in wheres), f"planted and not found: {place} in {wheres}"


async def plant(gifts):
    """One copy in each kind of place."""
    folder = gifts.town.data_dir
    with (folder / "logs/voice.log").open("a") as log:
        log.write(json.dumps({"event": f"keyed {LONG_VISA}"}) + "\n")
    async with db.open_pool(gifts.town.database_url, size_max=2) as pool:
        await pool.execute("CREATE TABLE planted AS SELECT $1::text AS note", f"the card {AMEX}")
        made = services.make(pool, data_dir=str(folder))
        await planted.record(pool, made, b"\xff" * 8_000 + planted.tones(VISA))
    capture = pcap.Capture(folder / "planted.pcap")
    for number, key in enumerate(DECLINED):
        payload = bytes((int(key), 0x8A, 1, 64))
        data = packet.write(101, number, 4_000 * number, 1, payload)
        capture.add(("127.0.0.1", 20_000), ("127.0.0.1", 40_000), data, at_s=number / 4)
    capture.close()

"""The room for one card with a real child: a whole capture, whatever can go wrong, and what is left in memory."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support import vaults
from support.card_room import Caller, OutsideVault, a_number, hidden, outside_vault
from support.memory_scan import Hidden, copies
from tenderline.cardholder import hardening, spawn, wire
from tenderline.cardholder.messages import Ended, Policy, Prompt, Say
from tenderline.cardholder.room import Event, NoRoomError, Room, RoomPool, RoomSettings

# Neither swap nor the limits of the machine that runs the tests are their subject, but where one sets them.
ANYWHERE = RoomSettings(strict=False)
READABLE = RoomSettings(strict=False, dumpable_for_tests=True)
CLIPS = [bytes((digit + 1,)) * (1_000 + digit) for digit in range(10)]
ATTENDED = Policy(attended=True)


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[OutsideVault]:
    async with outside_vault("generic", tmp_path) as made:
        yield made


@asynccontextmanager
async def pool(settings: RoomSettings = ANYWHERE, warm: int = 0) -> AsyncIterator[RoomPool]:
    made = RoomPool(settings, warm)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def room(
    vault: OutsideVault, settings: RoomSettings = ANYWHERE, *, timeout_s: float = 5.0, policy: Policy | None = None
) -> AsyncIterator[Room]:
    async with pool(settings) as rooms:
        yield await rooms.take(vault.begin(timeout_s, policy))


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("kind", vaults.KINDS)
async def test_a_card_is_keyed_digit_by_digit_and_becomes_a_token(kind: str, tmp_path: Path) -> None:
    async with outside_vault(kind, tmp_path) as vault, room(vault) as one:
        caller = Caller()
        ended = await caller.call(one)
        assert (ended.result, ended.brand, ended.month, ended.year) == ("captured", "amex", 11, 2034), one.why
        assert ended.token is not None
        assert vaults.PREFIXES[kind] in ended.token
        assert await vault.counts() == (1, 1)
        assert caller.prompts == [
            "ask_number",
            "confirm_number",
            "ask_expiry",
            "confirm_expiry",
            "ask_code",
            "ask_code_again",
            "one_moment",
        ]
        assert await one.next() == ended, "and it stays so"


async def test_a_refused_code_is_asked_for_again(vault: OutsideVault) -> None:
    await vault.counts("code_wrong")
    async with room(vault, policy=ATTENDED) as one:
        caller = Caller()
        asked = 0

        def count(_: int, event: Event) -> None:
            nonlocal asked
            asked += isinstance(event, Say) and event.prompt is Prompt.ASK_CODE

        ended = await caller.call(one, count)
        assert (ended.result, ended.token) == ("card_refused", None)
        assert asked == 3
        assert await vault.counts() == (3, 3)


async def test_a_full_read_back_is_sound_for_the_caller_and_never_digits(vault: OutsideVault) -> None:
    settings = RoomSettings(strict=False, clips={"en": CLIPS})
    async with room(vault, settings, policy=Policy(read_back="full", attended=True)) as one:
        caller = Caller()
        assert (await caller.call(one)).result == "captured"
        (sound,) = caller.sounds
        assert len(sound) % wire.FRAME_BYTES == 0
        spoken = [piece[0] - 1 for piece in sound.split(b"\xff") if piece]
        assert spoken == list(caller.number.keys())


async def test_a_full_read_back_without_clips_is_refused_before_it_begins(vault: OutsideVault) -> None:
    async with pool() as rooms:
        with pytest.raises(NoRoomError, match="clips"):
            await rooms.take(vault.begin(policy=Policy(read_back="full")))


async def test_a_child_that_is_killed_at_any_action_ends_the_capture_and_nothing_else(vault: OutsideVault) -> None:
    async with pool() as rooms:

        async def killed_at(place: int) -> Ended:
            one = await rooms.take(vault.begin())

            def kill(count: int, event: Event) -> None:
                if count == place:
                    os.kill(one.pid, signal.SIGKILL)

            ended = await Caller().call(one, kill)
            await one.close()
            assert is_gone(one.pid)
            return ended

        ends = await asyncio.gather(*(killed_at(place) for place in range(1, 8)))
        assert [one.result for one in ends[:-1]] == ["system_problem"] * 6
        # The last one is killed while it asks the gateway: its answer may have come before.
        assert ends[-1].result in ("system_problem", "captured")
        async with asyncio.timeout(20):
            assert (await Caller().call(await rooms.take(vault.begin()))).result == "captured"


async def test_a_child_that_stalls_is_killed_within_seconds(vault: OutsideVault) -> None:
    async with room(vault) as one:
        assert isinstance(await one.next(), Say)
        os.kill(one.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert await one.next() == Ended(result="system_problem")
        assert time.monotonic() - started < 20
        assert one.why == "the child does not answer"


async def test_more_keys_than_anybody_presses_fill_no_memory(vault: OutsideVault) -> None:
    async with room(vault) as one:
        assert isinstance(await one.next(), Say)
        os.kill(one.pid, signal.SIGSTOP)
        for _ in range(100_000):
            one.key(7)
        assert await one.next() == Ended(result="system_problem")
        one.key(7)  # and afterwards it is nothing


async def _hang_up_while_asked(vault: OutsideVault, hang_up: Callable[[Room], None]) -> tuple[Ended, float]:
    """How it ended, and after how long."""
    await vault.counts("silence")
    async with room(vault, timeout_s=30, policy=ATTENDED) as one:
        at = 0.0

        def now(_: int, event: Event) -> None:
            nonlocal at
            if isinstance(event, Say) and event.prompt is Prompt.ONE_MOMENT:
                at = time.monotonic()
                hang_up(one)

        ended = await Caller().call(one, now)
        return ended, time.monotonic() - at


async def test_a_cancel_ends_it_also_while_the_gateway_is_asked(vault: OutsideVault) -> None:
    ended, took_s = await _hang_up_while_asked(vault, Room.cancel)
    assert ended == Ended(result="cancelled")
    assert took_s < 15


async def test_a_cancel_between_keys_is_the_childs_to_answer(vault: OutsideVault) -> None:
    async with room(vault) as one:
        assert isinstance(await one.next(), Say)
        one.key(4)
        one.cancel()
        assert (await asyncio.wait_for(one.next(), 10)).result == "cancelled"  # type: ignore[union-attr]
        assert one.why is None


async def test_a_gateway_that_does_not_answer_ends_it_with_a_reason_that_may_be_logged(vault: OutsideVault) -> None:
    await vault.counts("silence")
    async with room(vault, timeout_s=1, policy=ATTENDED) as one:
        assert (await Caller().call(one)).result == "system_problem"
        assert one.why == "the gateway did not answer in time"


async def test_an_agent_may_have_a_field_keyed_again(vault: OutsideVault) -> None:
    async with room(vault, policy=ATTENDED) as one:
        caller = Caller()

        def again(_: int, event: Event) -> str:
            if isinstance(event, Say) and event.prompt is Prompt.ASK_CODE and caller.prompts.count("ask_code") == 1:
                one.restart("expiry")
                return "quiet"
            return ""

        assert (await caller.call(one, again)).result == "captured"
        assert caller.prompts.count("ask_expiry") == 2


async def test_nobody_holds_a_card_for_longer_than_a_lifetime(vault: OutsideVault) -> None:
    async with room(vault, RoomSettings(strict=False, lifetime_s=1.5)) as one:
        assert isinstance(await one.next(), Say)
        assert await one.next() == Ended(result="system_problem")
        assert one.why == "its time is over"


# --- What a child is ------------------------------------------------------------------------------------------------


async def test_a_child_has_no_secret_no_file_and_no_way_back(
    vault: OutsideVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TENDERLINE_SECRET", "in-the-parent-only")
    monkeypatch.setenv("PYTHONPATH", "in-the-parent-only")
    with (tmp_path / "open").open("w") as leak:
        os.set_inheritable(leak.fileno(), True)
        async with room(vault, READABLE) as one:
            assert isinstance(await one.next(), Say)
            process = Path(f"/proc/{one.pid}")
            environment = dict(line.split("=", 1) for line in (process / "environ").read_text().split("\0") if line)
            assert environment == wire.ENVIRONMENT
            links = sorted(os.readlink(path) for path in (process / "fd").iterdir())
            assert links[:3] == ["/dev/null"] * 3
            assert [link.split(":")[0] for link in links[3:]] == ["socket"]
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            assert (status["NoNewPrivs"].strip(), status["Threads"].strip()) == ("1", "1")
            limits = (process / "limits").read_text()
            assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
            assert limits.split("Max file size")[1].split()[:2] == ["0", "0"]
            command = (process / "cmdline").read_bytes()
            assert b"-I" in command
            assert vaults.KEYS["generic"].encode() not in command


async def test_a_machine_with_swap_is_refused_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vault: OutsideVault
) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n/swapfile file 2097148 0 -2\n")
    patch = f"from tenderline.cardholder import hardening, child; hardening._SWAPS = hardening.Path({str(swaps)!r}); "
    monkeypatch.setattr(spawn, "_BOOT", spawn._BOOT.replace("from tenderline", f"{patch}from tenderline"))
    async with pool(RoomSettings(strict=True)) as rooms:
        with pytest.raises(NoRoomError, match=r"swap is on \(/swapfile\)"):
            await rooms.take(vault.begin())
    async with pool(ANYWHERE) as rooms:
        await rooms.take(vault.begin())
        assert any("swap is on" in what for what in rooms.missing)


def test_another_system_than_linux_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert "darwin" in hardening.harden()[0]
    with pytest.raises(NoRoomError, match="needs Linux"):
        spawn.start()


async def test_a_child_that_cannot_start_says_so(vault: OutsideVault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "_BOOT", "raise SystemExit(3)")
    async with pool() as rooms:
        with pytest.raises(NoRoomError, match="ended with 3"):
            await rooms.take(vault.begin())


def _hardened(code: str) -> subprocess.CompletedProcess[str]:
    """What a hardened process says when it runs this."""
    begin = (
        "import ctypes, resource, sys, threading; sys.path += sys.argv.pop().splitlines(); "
        "from tenderline.cardholder import hardening; hardening.quiet(); missing = hardening.harden(); "
    )
    command = [sys.executable, "-I", "-S", "-c", begin + code, "\n".join(spawn.folders())]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_a_hardened_process_cannot_be_dumped_read_or_swapped() -> None:
    code = """
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), [
    line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")], missing, sep="|")
"""
    dumpable, soft, hard, locked, missing = _hardened(code).stdout.strip().split("|")
    assert (dumpable, soft, hard) == ("0", "0", "0")
    assert int(locked.strip("[']")) > 10_000 or "locked memory" in missing


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('a secret')",
        "raise RuntimeError from ValueError('a secret')",
        "\nclass A:\n def __del__(self): raise ValueError('a secret')\nA()",
        "raise KeyError(b'a secret')",
    ],
)
def test_what_goes_wrong_in_a_hardened_process_is_told_by_its_type_alone(code: str) -> None:
    done = _hardened(code)
    assert "secret" not in done.stdout + done.stderr
    assert done.stderr.startswith("card room: ")


def test_a_child_imports_the_standard_library_msgspec_and_its_own_package_only() -> None:
    code = """
import sys
sys.path += sys.argv.pop().splitlines()
sys.modules['typing_extensions'] = None
import tenderline.cardholder.child
print(*sys.modules)
"""
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, "\n".join(spawn.folders())],
        env=wire.ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = {name for name in listed if name.startswith("tenderline.")}
    assert all(name.startswith(("tenderline.cardholder", "tenderline.core")) for name in ours), ours
    others = {name.split(".")[0] for name in listed} - sys.stdlib_module_names
    assert others <= {"tenderline", "msgspec", "__main__", "typing_extensions"}, others
    assert not {"logging", "asyncio", "traceback", "pickle", "http", "json"} & set(listed)


async def test_a_child_does_not_outlive_its_parent(vault: OutsideVault) -> None:
    code = f"""
import asyncio, os, signal
from tenderline.cardholder.room import RoomPool, RoomSettings, wire
async def main():
    begin = wire.BEGIN.decode({wire.ENCODE(vault.begin())!r})
    one = await RoomPool(RoomSettings(strict=False), 0).take(begin)
    await one.next()
    print(one.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    environment = os.environ | {"PYTHONPATH": spawn.folders()[0]}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(parent.communicate(), 20)
    async with asyncio.timeout(20):
        while not is_gone(int(told)):
            await asyncio.sleep(0.05)


# --- Pool -----------------------------------------------------------------------------------------------------------


async def test_warm_children_wait_and_one_that_died_is_not_handed_out(vault: OutsideVault) -> None:
    async with pool(warm=2) as rooms:
        await rooms.warm_up()
        dead, alive = (started.process.pid for started in rooms._idle)
        os.kill(dead, signal.SIGKILL)
        while not is_gone(dead) and Path(f"/proc/{dead}/stat").read_text().split()[2] != "Z":
            await asyncio.sleep(0.01)
        one = await rooms.take(vault.begin())
        assert one.pid == alive
        assert isinstance(await one.next(), Say)


async def test_no_more_rooms_are_open_at_once_than_memory_was_meant_for(vault: OutsideVault) -> None:
    async with pool(RoomSettings(strict=False, rooms_max=1)) as rooms:
        one = await rooms.take(vault.begin())
        with pytest.raises(NoRoomError, match="at once"):
            await rooms.take(vault.begin())
        await one.close()
        takes = await asyncio.gather(*(rooms.take(vault.begin()) for _ in range(3)), return_exceptions=True)
        assert [type(take) for take in takes] == [Room, NoRoomError, NoRoomError]


async def test_neither_a_process_nor_a_descriptor_is_left(vault: OutsideVault) -> None:
    await asyncio.to_thread(time.sleep, 0)  # the thread that starts children is there from now on
    before = sorted(os.listdir("/proc/self/fd"))
    pids = []
    async with pool(warm=2) as rooms:
        for how in range(6):
            one = await rooms.take(vault.begin())
            pids += [one.pid, *(started.process.pid for started in rooms._idle)]
            await one.next()
            if how % 3 == 0:
                os.kill(one.pid, signal.SIGKILL)
            elif how % 3 == 1:
                one.cancel()
            if how % 2:
                await one.close()
                await one.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert all(is_gone(pid) for pid in pids), "a zombie still has its folder"


# --- What is left ---------------------------------------------------------------------------------------------------

BESIDE_A_CODE = {
    "stripe": ("card%5Bcvc%5D=", ""),
    "braintree": ('"cvv":"', '"'),
    "adyen": ('"cvc":"', '"'),
    "generic": ('"cvv":"', '"'),
}


def _a_code_that_is_nowhere_in(pid: int) -> Hidden:
    """Four digits that no library happens to hold, so that one copy is one too many."""
    for _ in range(200):
        code = hidden(*(secrets.randbelow(10) for _ in range(4)))
        if not copies(pid, _short(code)):
            return code
    raise AssertionError("every code is somewhere")


def _short(code: Hidden) -> dict[str, bytes]:
    forms = code.forms()
    return {name: forms[name] for name in ("ascii", "utf-16", "utf-32")}


@pytest.mark.parametrize("kind", vaults.KINDS)
@pytest.mark.parametrize("says", ["token", "declined"])
async def test_when_a_capture_has_ended_no_copy_of_the_card_is_in_the_memory_of_parent_or_child(
    kind: str, says: str, tmp_path: Path
) -> None:
    async with outside_vault(kind, tmp_path) as vault, room(vault, READABLE) as one:
        await vault.counts(says)
        number, code = a_number(), _a_code_that_is_nowhere_in(one.pid)
        while_keyed: dict[str, int] = {}

        def look(_: int, event: Event) -> None:
            if isinstance(event, Say) and event.prompt is Prompt.ASK_EXPIRY:
                while_keyed.update(copies(one.pid, number.forms()))

        ended = await Caller(number, code).call(one, look)
        assert ended.result == ("captured" if says == "token" else "card_refused"), one.why
        assert one.is_alive
        assert while_keyed.get("ascii", 0) >= 1, "while it is keyed it is there, and found"
        assert copies(os.getpid(), number.forms() | {"code": code.form(*BESIDE_A_CODE[kind])}) == {}
        assert copies(one.pid, number.forms()) == {}
        assert copies(one.pid, _short(code)) == {}
        assert await vault.counts() == (1, 1)


def test_a_planted_copy_is_found_in_every_form() -> None:
    number = a_number()
    planted = {form: bytes(code ^ 0x55 for code in masked) for form, masked in number.forms().items()}
    assert set(copies(os.getpid(), number.forms())) == set(planted)

"""Tries a flow by telephone, without a database: a script dials it, presses keys, speaks, and says what it must hear.

The flow runs as it would, on real SIP and RTP over the loopback; what it asks of the rest of the system is answered by
the script, and told afterwards.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.flows import run as flow_run
from tenderline.flows.call import (
    Call,
    CallEndedError,
    CardKeyed,
    ChargeResult,
    Identified,
    PaymentBegun,
    PaymentHandedOver,
    PaymentTerms,
    Proof,
    Settlement,
    Value,
)
from tenderline.flows.graph import Flow
from tenderline.flows.spoken import said
from tenderline.routing.queues import NOTHING, Wish
from tenderline.store.conversations import Purpose, SegmentKind
from tenderline.voice.dialog import Dialog
from tenderline.voice.engine import MediaEngine
from tenderline.voice.party import Party
from tenderline.voice.phone_call import PhoneCall
from tenderline.voice.prompts import synthesis
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.sip import Endpoint
from tenderline.voice.sip_limits import SourceLimits
from tenderline.voice.switch import AgentOnCall, NoAgent, NoAnswer, Place, Unreached
from tenderline.voice.timeline import Entry
from tenderline.voice.trial_phone import CallFailedError, TrialPhone

HOST = "127.0.0.1"
STEPS_MAX = 200
Waiting = Annotated[float, msgspec.Meta(gt=0, le=120)]


class TrialStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that the caller does: exactly one of hear, press, speak, wait_s, hang_up, hung_up."""

    hear: str | None = None
    press: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#A-D]{1,40}$")] | None = None
    speak: str | None = None
    wait_s: Waiting | None = None
    hang_up: bool = False
    hung_up: bool = False
    within_s: Waiting = 15.0


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call: from whom, in which language, at what time of the flow's clock; and what the system answers it."""

    caller: str = "+12025550100"
    language: str = "en"
    at: datetime | None = None
    known: dict[str, str | int | bool] | None = None
    works: bool = True
    takes: list[str] | None = None
    """The nodes that the call must pass, in order."""
    do: Annotated[list[TrialStep], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the call went."""

    ok: bool
    why: str
    nodes: list[str]
    asked: list[str]


class InvalidScriptError(InvalidInputError):
    """The script cannot be used; correct what is named and try again."""

    code = "invalid_script"


def read(file: str, text: str) -> Script:
    """A script from TOML; raises `InvalidScriptError`."""
    try:
        script = msgspec.convert(tomllib.loads(text), Script)
    except tomllib.TOMLDecodeError as error:
        raise InvalidScriptError(f"{file} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InvalidScriptError(f"{file}: {error}") from None
    for number, step in enumerate(script.do, 1):
        done = [step.hear, step.press, step.speak, step.wait_s, step.hang_up or None, step.hung_up or None]
        if sum(one is not None for one in done) != 1:
            raise InvalidScriptError(f"{file}: step {number} must do exactly one thing.")
    return script


class _Stage:
    """Answers what the flow asks, as the script says, and keeps what it asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[str] = []

    def now(self) -> datetime:
        at = self._script.at
        return datetime.now(UTC) if at is None else at if at.tzinfo else at.replace(tzinfo=UTC)

    async def look_up(self, call: Call, *, timeout_s: float) -> Mapping[str, Value] | None:
        del timeout_s
        self.asked.append(f"look up {call.caller}")
        return self._script.known

    async def expected_wait_s(self, queue: str, *, timeout_s: float) -> float | None:
        del timeout_s
        return 150.0 if self._note(f"tell how long the wait for {queue} is") else None

    async def call_back(self, call: Call, *, number: str | None, due_at: datetime | None) -> bool:
        del due_at
        return self._note(f"call back {number or call.caller}")

    async def message(self, call: Call, *, template: str, values: Mapping[str, Value]) -> bool:
        del call, values
        return self._note(f"send {template}")

    async def post(
        self, call: Call, *, endpoint: str, values: Mapping[str, Value], timeout_s: float
    ) -> Mapping[str, Value] | None:
        del call, timeout_s
        return (self._script.known or {}) if self._note(f"post {', '.join(values)} to {endpoint}") else None

    async def alert(self, call: Call, *, reason: str) -> bool:
        return self._note(f"tell the supervisors that {call.caller} is in distress: {reason}")

    async def opt_out(self, call: Call) -> bool:
        return self._note(f"leave {call.caller} alone")

    async def account_of(self, caller: str | None, *, timeout_s: float) -> tuple[str, str | None] | None:
        del timeout_s
        self.asked.append(f"look for the account of {caller}")
        return None

    async def identify(self, call: Call, *, account: str, by: Proof, proof: str, timeout_s: float) -> Identified | None:
        del call, proof, timeout_s
        if not self._note(f"look whether the account {account} is the caller's, by her {by}"):
            return None
        known = self._script.known or {}
        balance, name = known.get("balance"), known.get("name")
        return Identified(
            account,
            person_id=str(UUID(int=0)),
            name=name if isinstance(name, str) else None,
            balance=Money(balance, "USD") if isinstance(balance, int) and balance > 0 else None,
        )

    def payment_terms(self) -> PaymentTerms:
        return PaymentTerms()

    async def begin_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentBegun | None:
        del call, text_announced
        return PaymentBegun("trial", "12345678") if self._note(f"take {amount.format()}") else None

    async def hand_over_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentHandedOver | None:
        del call, amount, text_announced
        return None  # there is no provider here

    async def charge(self, payment_id: str, card: CardKeyed) -> ChargeResult:
        del payment_id
        return "taken" if self._note(f"charge a card that ends in {card.last_four}") else "declined"

    async def leave_payment(self, payment_id: str, why: str) -> None:
        del payment_id
        self._note(f"leave the payment: {why}")

    async def settlement(self, payment_id: str, *, timeout_s: float) -> Settlement:
        del payment_id, timeout_s
        return "COMPLETED" if self._note("ask whether the money arrived") else "FAILED"

    def _note(self, what: str) -> bool:
        self.asked.append(what)
        return self._script.works


class _Books:
    """Keeps the way of the call; records nothing."""

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage
        self.nodes: list[str] = []

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        self._stage.asked.append("record" if on else "record silence")

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        del kind, detail

    def join(self, id: UUID, purpose: Purpose, address: str | None) -> None:
        del id, purpose, address

    def leave(self, id: UUID) -> None:
        del id

    def note(self, entry: Entry) -> None:
        del entry

    def entered(self, node: str, step: str, at: datetime) -> None:
        del step, at
        self.nodes.append(node)

    def left(self, node: str, exit: str, at: datetime) -> None:
        del node, exit, at


class _NobodyElse:
    """There is nobody but the caller here."""

    async def agent_for(
        self,
        queue: str,
        *,
        wait_max_s: float,
        caller: str | None,
        conversation_id: UUID,
        wish: Wish = NOTHING,
        place: Place | None = None,
        entered: Callable[[], None] | None = None,
    ) -> AgentOnCall | NoAgent:
        del queue, wait_max_s, caller, conversation_id, wish, place, entered
        return "nobody"

    async def agent(
        self,
        agent_id: UUID,
        *,
        caller: str | None,
        conversation_id: UUID,
        queue: str | None = None,
        reserved: Callable[[], None] | None = None,
        monitors: bool = False,
    ) -> AgentOnCall | NoAnswer:
        del agent_id, caller, conversation_id, queue, reserved, monitors
        return "not_free"

    def may_dial(self, to: str) -> bool:
        del to
        return False

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        del to, ring_s, caller
        return "no_answer"

    def uri_of(self, to: str) -> str:
        return f"sip:{to}@{HOST}"


async def run(flow: Flow, script: Script, data_dir: Path, *, scripts_dir: Path) -> TrialReport:
    """One call by the script. Recordings to be spoken are found beside the script."""
    stage, prompts = _Stage(script), Prompts(data_dir)
    books = _Books(stage)
    engine = MediaEngine(HOST, range(30_000, 40_000))
    tasks: list[asyncio.Task[Any]] = []

    async def carry(dialog: Dialog) -> None:
        party = Party(engine, dialog, engine.leg())
        call = PhoneCall(
            party,
            conversation_id=uuid4(),
            caller=script.caller,
            called="trial",
            language=script.language,
            prompter=prompts,
            scribe=books,
            switch=_NobodyElse(),
        )
        call.variables.update(organisation="Trial", campaign="trial", currency="USD", fund=None)
        try:
            await call.answer()
            await flow_run.run(flow, call, stage, books)
        except CallEndedError:
            pass
        finally:
            party.close()

    def on_call(dialog: Dialog) -> None:
        tasks.append(asyncio.get_running_loop().create_task(carry(dialog)))

    endpoint = Endpoint(HOST, 0, limits=SourceLimits(100, 100, []), on_call=on_call)
    try:
        async with TrialPhone() as phone:
            await phone.dial("trial", (HOST, endpoint.port), caller=script.caller)
            why = await _play(phone, script, prompts, scripts_dir)
            phone.hang_up()
        await asyncio.wait(tasks, timeout=10)
    finally:
        for task in tasks:
            task.cancel()
        await endpoint.close()
    if not why and script.takes is not None and books.nodes != script.takes:
        why = f"the call took another way: {' > '.join(books.nodes)}"
    return TrialReport(ok=not why, why=why, nodes=books.nodes, asked=stage.asked)


async def _play(phone: TrialPhone, script: Script, prompts: Prompts, scripts_dir: Path) -> str:
    """Why it failed, with the number of the step; empty when it went as it should."""
    for number, step in enumerate(script.do, 1):
        try:
            await _do(phone, step, script, prompts, scripts_dir)
        except CallFailedError as error:
            what = f" ({step.hear!r})" if step.hear else ""
            return f"step {number}{what}: {error.detail}"
    return ""


async def _do(phone: TrialPhone, step: TrialStep, script: Script, prompts: Prompts, scripts_dir: Path) -> None:
    if step.hear is not None:
        frames = await prompts.prepare(said(script.language, [step.hear]))
        await phone.hear(frames, within_s=step.within_s)
    elif step.press is not None:
        await phone.press(step.press)
    elif step.speak is not None:
        try:
            sound = synthesis.from_wav((scripts_dir / step.speak).read_bytes())
        except (OSError, ValueError) as error:
            raise CallFailedError(f"{step.speak} cannot be spoken: {error}") from None
        await phone.speak(sound)
    elif step.wait_s is not None:
        await asyncio.sleep(step.wait_s)
    elif step.hung_up:
        await phone.is_hung_up(within_s=step.within_s)
    else:
        phone.hang_up()

"""A call that follows a script: keys, silence, a hang-up at any point. What was said to it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from tenderline.flows.call import CallEndedError
from tenderline.flows.spoken import Digits, Number, Spoken, Words


class ScriptedCall:
    """`keys` are pressed one after the other, None is silence; after `ends_after` steps the caller is gone."""

    def __init__(self, keys=(), *, ends_after=None, queue="talked", bridge="talked", transfer="transferred"):
        self._keys = list(keys)
        self._left = ends_after
        self._outcomes = {"queue": queue, "bridge": bridge, "transfer": transfer}
        self.said: list[str] = []
        self.did: list[str] = []
        self._language = "en"
        self._variables = {"organisation": "The Shelter", "campaign": "c", "currency": "USD", "fund": None}
        self._id = uuid4()
        self.gone = False

    @property
    def conversation_id(self) -> UUID:
        return self._id

    @property
    def caller(self):
        return "+12025550100"

    @property
    def called(self):
        return "+18005550123"

    @property
    def language(self):
        return self._language

    @property
    def variables(self):
        return self._variables

    def speak_language(self, language):
        self._language = language

    def _step(self, what):
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.gone = True
        if self.gone:
            raise CallEndedError
        self.did.append(what)

    async def answer(self):
        self._step("answer")

    async def say(self, spoken: Spoken, *, cut_by_key):
        self._step("say")
        words = [
            one.text if isinstance(one, Words) else one.characters if isinstance(one, Digits) else str(one)
            for one in spoken.parts
            if not isinstance(one, Number)
        ]
        self.said.append(" ".join(words))
        return False

    async def key(self, *, timeout_s):
        self._step("key")
        return self._keys.pop(0) if self._keys else None

    def forget_keys(self):
        self._keys.clear()

    async def record(self, on):
        self._step(f"record {on}")

    async def listen(self, *, duration_s):
        self._step("listen")
        return b"\xff" * int(duration_s * 8000)

    async def play_back(self, ulaw):
        self._step("play back")

    async def queue(self, name, *, wait_max_s, comfort, comfort_every_s):
        self._step(f"queue {name}")
        return self._outcomes["queue"]

    async def bridge(self, to, *, ring_s):
        self._step(f"bridge {to}")
        return self._outcomes["bridge"]

    async def transfer(self, to, *, ring_s):
        self._step(f"transfer {to}")
        self.gone = self._outcomes["transfer"] == "transferred"
        return self._outcomes["transfer"]

    async def hang_up(self):
        self.gone = True
        self.did.append("hang up")


class ScriptedBackstage:
    """Answers as it is told; an exception is raised."""

    def __init__(self, *, now=datetime(2026, 11, 18, 15, tzinfo=UTC), known=None, works=True):
        self._now, self._known, self._works = now, known, works
        self.did: list[object] = []

    def now(self):
        return self._now

    async def look_up(self, caller, *, timeout_s):
        if isinstance(self._known, Exception):
            raise self._known
        return self._known

    async def call_back(self, call, *, number, due_at):
        self.did.append(("call back", number or call.caller))
        return self._works

    async def message(self, call, *, template, values):
        self.did.append(("message", template))
        return self._works

    async def post(self, call, *, endpoint, values, timeout_s):
        self.did.append(("post", endpoint, dict(values)))
        return {"tier": "gold"} if self._works else None

    async def opt_out(self, call):
        self.did.append(("opt out", call.caller))
        return self._works


class KeptPath:
    """The way that a call took."""

    def __init__(self):
        self.nodes: list[str] = []
        self.exits: list[str] = []

    def entered(self, node, step, at):
        self.nodes.append(node)

    def left(self, node, exit, at):
        self.exits.append(exit)

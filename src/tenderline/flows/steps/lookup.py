"""Looks the caller up by the number; a number is a hint and no proof."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Seconds


class Step(step.Step, frozen=True, kw_only=True):
    """Sets `person_id`, `name`, `locale` and `balance` when the number is somebody's."""

    about = "Looks up who has the caller's number, and what is open there."
    touches = frozenset({"database"})
    timeout_s: Seconds = 2.0

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Found, unknown, or no answer in time."""
        del wired
        return frozenset({"found", "unknown", "failed"})

    def gives(self, exit: str) -> frozenset[str]:
        """What is known of somebody who was found; a value may still be missing, and is then null."""
        return frozenset({"$person_id", "$name", "$locale", "$balance"}) if exit == "found" else frozenset()

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Looks, within its time."""
        try:
            found = await backstage.look_up(call.caller, timeout_s=self.timeout_s)
        except (TimeoutError, OSError):
            return "failed"
        if found is None:
            return "unknown"
        call.variables.update({key: found.get(key) for key in ("person_id", "name", "locale", "balance")})
        return "found"

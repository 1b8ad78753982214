"""The product's services on a test database, with the vendors a test wants and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenderline import app, config
from tenderline.app import Services
from tenderline.compliance import ruleset
from tenderline.core.events import decode
from tenderline.core.facts import Payer
from tenderline.store import events
from tenderline.store.rules import RuleBook
from tenderline.worker import reactions

KEY = b"a test key that is long enough for links"


def make(pool: Any, *, gateways: Iterable[Any] = (), messengers: Iterable[Any] = (), **flags: Any) -> Services:
    """Services with settings from `flags` (dots as double underscores)."""
    settings = config.load({key.replace("__", "."): value for key, value in flags.items()}, {}).settings
    return Services(
        settings=settings,
        pool=pool,
        book=RuleBook(ruleset.shipped()),
        gateways={one.name: one for one in gateways},
        messengers={one.channel: one for one in messengers},
        inbound={one.name: one for one in messengers if hasattr(one, "verify")},
        secret_key=KEY,
        crm=app.crm(settings),
    )


class Reactor:
    """Runs the reactions of every event so far, in order, each as often as asked: they must not mind."""

    def __init__(self, services: Services, *, times: int = 1) -> None:
        self._services = services
        self._times = times
        self._done: set[Any] = set()
        events.subscribe({})  # the test runs them by hand

    async def settle(self) -> None:
        """Until nothing is left to react to."""
        for _ in range(50):
            rows = await self._services.pool.fetch("SELECT id, data::text FROM event ORDER BY id")
            fresh = [row for row in rows if row["id"] not in self._done]
            if not fresh:
                return
            for row in fresh:
                self._done.add(row["id"])
                event = decode(row["data"])
                for reaction in reactions.REACTIONS.get(type(event), ()):
                    for _ in range(self._times):
                        await reaction(self._services, event)
        raise AssertionError("reactions never come to rest")


class KnowsNobody:
    """A gateway that can tell nothing of its customers."""

    name = "stripe"

    async def read_payer(self, reference: str) -> Payer:
        del reference
        return Payer()


def message_class(channel: str, provider: str = "test") -> Any:
    """A messenger that is only there to say that the channel exists; it never sends."""

    class Nowhere:
        name = provider
        can_be_asked = False

        async def close(self) -> None:
            return

    from tenderline.messengers.base import Channel

    Nowhere.channel = Channel(channel)  # type: ignore[attr-defined]
    return Nowhere()


__all__ = ["KEY", "Reactor", "make", "message_class"]

"""Where cards are keyed in: rooms of `cardholder/`, each a process of its own, towards the configured gateway."""

from __future__ import annotations

from typing import Final

import structlog

from tenderline.app import Services
from tenderline.cardholder.messages import Policy
from tenderline.cardholder.room import Begin, GatewayTarget, NoRoomError, Room, RoomPool, RoomSettings
from tenderline.core.errors import ConfigurationError
from tenderline.payments import telephone
from tenderline.voice.prompts.pack import Prompts

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LANGUAGES: Final = ("en", "es")


class NoCardGatewayError(ConfigurationError):
    """Cards cannot be keyed in: the gateway of telephone payments does not take them; see capture.gateway."""

    code = "capture.no_card_gateway"


class CardRooms:
    """Of one node. Children are started beforehand, so that nobody waits for one."""

    def __init__(self, services: Services, prompts: Prompts) -> None:
        self._services, self._prompts = services, prompts
        self._settings = services.settings.capture
        self._pool: RoomPool | None = None

    async def start(self) -> None:
        """Starts what is kept ready. A machine that cannot hold card data safely says so, and takes no cards."""
        settings, clips = self._settings, {}
        if settings.read_back == "full":
            log.warning("full_read_back", why="card numbers are spoken whole, as capture.read_back says")
            for language in _LANGUAGES:
                clips[language] = [await self._prompts.clip(str(digit), language) for digit in range(10)]
        rooms = RoomSettings(strict=settings.strict, rooms_max=settings.rooms_max, clips=clips)
        self._pool = pool = RoomPool(rooms, warm=settings.warm)
        try:
            await pool.warm_up()
        except NoRoomError as error:
            log.error("no_cards", why=error.detail)
            return
        if pool.missing:
            log.warning("cards_not_safe", missing=pool.missing)

    async def take(self, language: str, *, attended: bool = False) -> Room:
        """A room for one card. Raises `NoRoomError`, `NoCardGatewayError` or `telephone.NoGatewayError`."""
        settings, pool = self._settings, self._pool
        assert pool is not None, "started before the first call"
        policy = Policy(
            allowed_brands=tuple(settings.allowed_brands),
            read_back=settings.read_back,
            tries_max=settings.tries_max,
            attended=attended,
            between_keys_s=settings.between_keys_s,
            field_s=settings.field_s,
            postal=settings.postal_code,
        )
        return await pool.take(Begin(policy=policy, gateway=self._target(), language=language))

    def _target(self) -> GatewayTarget:
        """What the gateway that charges says of its tokens."""
        told = telephone.gateway_of(self._services).card_target()
        if told is None:
            raise NoCardGatewayError()
        return GatewayTarget(
            **{name: getattr(told, name) for name in told.__struct_fields__},
            plain_http_on_loopback=told.url.startswith("http://"),
        )

    async def close(self) -> None:
        """Ends every child."""
        if self._pool is not None:
            await self._pool.close()

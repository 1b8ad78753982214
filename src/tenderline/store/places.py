"""Where people may be, kept beside them: derived from their own word, their address and their numbers, never set.

What is kept names the tables it was derived by; what an older version derived is derived anew where it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec

from tenderline.core import zones
from tenderline.core.places import Address, data_text
from tenderline.core.zones import Evidence, Place
from tenderline.store.db import Connection, query

DATA_FILES = ("numbers.json", "places.toml", "us-counties.toml", "zips.json", "zones.json")
Row = Any
"""A row of the driver's, read by name."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Where somebody is taken to be of whom nothing is known."""

    zone: str | None = None
    region: str | None = None


NOWHERE = Defaults()


def of_row(person: Row, defaults: Defaults) -> Place:
    """Where the person of a row (`place_zones`, `place_regions`, `place_evidence`) may be."""
    return _with_defaults(
        tuple(person["place_zones"]), tuple(person["place_regions"]), person["place_evidence"], defaults
    )


@lru_cache(maxsize=4_096)
def _with_defaults(found: tuple[str, ...], regions: tuple[str, ...], evidence: str, defaults: Defaults) -> Place:
    if not found and defaults.zone is not None:
        found, evidence = (defaults.zone,), Evidence.DEFAULT
    if not regions and defaults.region is not None:
        regions = (defaults.region,)
    return Place(found, regions, Evidence(evidence))


@cache
def version() -> str:
    """Names the tables by which places are derived."""
    return hashlib.sha256("\0".join(map(data_text, DATA_FILES)).encode()).hexdigest()[:12]


def is_stale(person: Row) -> bool:
    """Whether what is kept beside a person was derived by other tables than ours."""
    return bool(person["place_version"] != version())


async def of_people(connection: Connection, people: Iterable[Row], defaults: Defaults) -> dict[UUID, Place]:
    """Where locked people may be, by id; what is stale is derived anew."""
    rows = list(people)
    stale = [row["id"] for row in rows if is_stale(row)]
    fresh = await derive(connection, stale) if stale else {}
    found: dict[UUID, Place] = {}
    for row in rows:
        place = fresh.get(row["id"])
        found[row["id"]] = (
            of_row(row, defaults)
            if place is None
            else _with_defaults(place.zones, place.regions, place.evidence, defaults)
        )
    return found


async def of_person(connection: Connection, person_id: UUID, defaults: Defaults) -> Place:
    """Where somebody may be, by what is known now; nothing is kept."""
    place = (await _located(connection, [person_id]))[person_id]
    return _with_defaults(place.zones, place.regions, place.evidence, defaults)


async def derive(connection: Connection, person_ids: Sequence[UUID]) -> dict[UUID, Place]:
    """Derives and keeps where these people may be; the caller holds their locks."""
    found = await _located(connection, person_ids)
    await connection.execute(
        query("places", "keep"),
        list(found),
        [msgspec.json.encode(place.zones).decode() for place in found.values()],
        [msgspec.json.encode(place.regions).decode() for place in found.values()],
        [place.evidence for place in found.values()],
        version(),
    )
    return found


async def _located(connection: Connection, person_ids: Sequence[UUID]) -> dict[UUID, Place]:
    found: dict[UUID, Place] = {}
    for row in await connection.fetch(query("places", "evidence"), list(person_ids)):
        address = msgspec.json.decode(row["address"], type=Address) if row["address"] else None
        found[row["id"]] = zones.locate(row["zone"], address, row["numbers"])
    return found


async def set_address(connection: Connection, person_id: UUID, address: Address) -> None:
    """Keeps her postal address as she told it herself; the caller holds her lock."""
    encoded = msgspec.json.encode({**msgspec.to_builtins(address), "own_word": True}).decode()
    await connection.execute(query("places", "set_address"), person_id, encoded)
    await derive(connection, [person_id])


async def learn_address(connection: Connection, person_id: UUID, address: Address) -> bool:
    """Keeps an address that a gateway told when none is known yet, or a fuller one. True when it was news.

    What she corrected herself stays (`set_address` keeps it as hers).
    """
    encoded = msgspec.json.encode(address).decode()
    parts = sum(part is not None for part in (address.region, address.postal_code))
    return await connection.fetchval(query("places", "learn_address"), person_id, encoded, parts) is not None


async def set_zone(connection: Connection, person_id: UUID, zone: str | None) -> None:
    """Keeps the zone that she told herself (None takes it back): it rules alone. The caller holds her lock."""
    await connection.execute(query("places", "set_zone"), person_id, zone)
    await derive(connection, [person_id])


def address_of(told: Mapping[str, str | None]) -> Address | None:
    """An address as a gateway tells it (`country`, `state` or `region`, `postal_code`); None without a country."""
    country = told.get("country")
    if not country:
        return None
    return Address(country, told.get("region") or told.get("state"), told.get("postal_code"))

"""The only place that wires vendors to features: settings in, the running system's parts out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from tenderline.compliance import ruleset
from tenderline.compliance.distress import Phrases
from tenderline.config import Settings
from tenderline.core import hours
from tenderline.core.errors import ConfigurationError
from tenderline.crm.base import Crm
from tenderline.crm.civicrm import CiviCrm
from tenderline.crm.dynamics import Dynamics
from tenderline.crm.rest import Rest
from tenderline.crm.salesforce import Salesforce
from tenderline.crm.sql import Sql
from tenderline.gateways.base import Gateway
from tenderline.gateways.generic import Generic
from tenderline.gateways.stripe import Stripe
from tenderline.messengers.base import Channel, InboundSource, Messenger
from tenderline.messengers.mail_replies import MailReplies
from tenderline.messengers.smtp import Smtp
from tenderline.messengers.twilio import Twilio
from tenderline.store import db
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

SECRET_KEY_FILE = "secret_key"  # noqa: S105  # the name of a file
AUDIT_KEY_FILE = "audit_signing_key.pem"
AUDIT_HEAD_FILE = "audit_heads.jsonl"
POOL_SIZE_MAX = 20


@dataclass(frozen=True)
class Services:
    """What features and edges work with. Features see vendors only by their contracts."""

    settings: Settings
    pool: db.Pool
    book: RuleBook
    gateways: dict[str, Gateway]
    messengers: dict[Channel, Messenger]
    inbound: dict[str, InboundSource]
    secret_key: bytes = field(repr=False)
    crm: Crm | None = None

    def key_for(self, purpose: str) -> bytes:
        """A key of its own for each purpose, so that a link for one can never pass as a link for another."""
        return hmac.digest(self.secret_key, purpose.encode(), hashlib.sha256)

    @property
    def phrases(self) -> Phrases:
        """The words of distress of this installation, made ready once. Raises `UnknownPhraseError`."""
        distress = self.settings.distress
        return _phrases(tuple(distress.phrases), tuple(distress.phrases_off))

    @property
    def defaults(self) -> Defaults:
        """Where people are taken to be of whom nothing is known."""
        compliance = self.settings.compliance
        return Defaults(compliance.default_zone, compliance.default_region)

    @property
    def zone(self) -> ZoneInfo:
        """By whose days the organisation books its gifts."""
        return hours.zone(self.settings.crm.zone or self.settings.compliance.default_zone or "UTC")

    @property
    def audit_head_file(self) -> Path:
        """Where signed heads of the audit chain go."""
        return self.settings.audit.head_file or self.settings.data_dir / AUDIT_HEAD_FILE

    @property
    def audit_key_file(self) -> Path:
        """Where the key lies that signs them."""
        return self.settings.data_dir / AUDIT_KEY_FILE


def secret_key(settings: Settings) -> bytes:
    """The configured key, or one made once and kept in `data_dir`, readable by its owner only."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / SECRET_KEY_FILE
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48))
            try:
                path.hardlink_to(fresh)
            except FileExistsError:
                pass  # another process made it at the same time: that one counts
            finally:
                fresh.unlink()
        return path.read_text().strip().encode()
    except OSError as error:
        raise ConfigurationError(f"The secret key in {path} cannot be kept: {error}; set secret_key.") from error


def gateways(settings: Settings) -> dict[str, Gateway]:
    """The payment gateways that are configured."""
    found: list[Gateway] = []
    if settings.stripe.api_key is not None or settings.stripe.webhook_secrets:
        found.append(Stripe(settings.stripe))
    if settings.generic.api_url is not None:
        found.append(Generic(settings.generic, settings.public_url))
    return {gateway.name: gateway for gateway in found}


def messengers(settings: Settings) -> tuple[dict[Channel, Messenger], dict[str, InboundSource]]:
    """The message providers that are configured, and those among them that post webhooks to us."""
    by_channel: dict[Channel, Messenger] = {}
    inbound: dict[str, InboundSource] = {MailReplies.name: MailReplies()}
    if settings.twilio.account_sid is not None:
        twilio = Twilio(settings.twilio, settings.public_url)
        by_channel[twilio.channel] = twilio
        inbound[twilio.name] = twilio
    if settings.smtp.host is not None:
        smtp = Smtp(settings.smtp)
        by_channel[smtp.channel] = smtp
    return by_channel, inbound


def crm(settings: Settings) -> Crm | None:
    """The CRM that is configured; None when only our own database is asked."""
    currency, region = settings.crm.currency, settings.compliance.default_region
    match settings.crm.kind:
        case "rest":
            return Rest(settings.crm_rest, currency=currency, region=region)
        case "sql":
            return Sql(settings.crm_sql, currency=currency, region=region)
        case "civicrm":
            return CiviCrm(settings.civicrm, currency=currency, region=region)
        case "salesforce":
            return Salesforce(settings.salesforce, currency=currency, region=region)
        case "dynamics":
            return Dynamics(settings.dynamics, currency=currency, region=region)
        case "none":
            return None


@lru_cache(maxsize=4)
def _phrases(own: tuple[str, ...], off: tuple[str, ...]) -> Phrases:
    return Phrases(own, off)


@asynccontextmanager
async def open_services(settings: Settings, database_url: str) -> AsyncIterator[Services]:
    """Everything a process needs, closed again at its end."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(db.open_pool(database_url, size_max=POOL_SIZE_MAX))
        by_gateway = gateways(settings)
        by_channel, inbound = messengers(settings)
        for gateway in by_gateway.values():
            stack.push_async_callback(gateway.close)
        for messenger in by_channel.values():
            stack.push_async_callback(messenger.close)
        known_by = crm(settings)
        if known_by is not None:
            stack.push_async_callback(known_by.close)
        book = RuleBook(ruleset.shipped(*settings.compliance.presets))
        made = Services(settings, pool, book, by_gateway, by_channel, inbound, secret_key(settings), known_by)
        made.phrases.find("")  # what is written wrong ends the start, not the reading of a word of distress
        yield made

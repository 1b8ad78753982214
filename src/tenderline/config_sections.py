"""The parts of the settings, each key with what it means; `config.py` reads them from files, environment and flags."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from tenderline.core import zones
from tenderline.core.client_address import Network

NETWORKS_MAX = 32
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]+")


class Section(BaseModel):
    """A part of the settings; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _a_list_may_be_written_as_text(cls, value: Any, info: ValidationInfo) -> Any:
        """The command line and the environment know only text: `a,b`, or a JSON list."""
        field = cls.model_fields[info.field_name or ""]
        if not isinstance(value, str) or get_origin(field.annotation) is not list:
            return value
        if not value.lstrip().startswith("["):
            return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('write it as a,b or as a JSON list, ["a", "b"]') from None


def _few_of_ones_own(value: Any, read: ValidatorFunctionWrapHandler) -> list[Network]:
    try:
        networks: list[Network] = read(value)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]["input"]
        raise ValueError(f"{wrong!r} is not a network, such as 10.0.0.0/8 or 192.0.2.7") from None
    if len(networks) > NETWORKS_MAX:
        raise ValueError(f"up to {NETWORKS_MAX} networks; write fewer, larger ones")
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("that would believe everybody; name the networks of your own machines")
    return networks


Networks = Annotated[list[Network], WrapValidator(_few_of_ones_own)]


class StripeSettings(Section):
    """Stripe. Without an API key the gateway is off."""

    api_key: SecretStr | None = Field(default=None, description="Secret or restricted key (sk_… or rk_…).")
    webhook_secrets: list[SecretStr] = Field(
        default=[], max_length=2, description="Signing secrets (whsec_…) of the endpoint; two while one is rotated."
    )
    api_url: str = Field(default="https://api.stripe.com", description="Where Stripe's API is.")
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="Longest wait for one answer.")
    moto: bool = Field(
        default=False, description="Mark telephone payments as telephone orders; Stripe must have allowed it to you."
    )


class GenericSettings(Section):
    """A payment gateway of your own, or an adapter of yours before one. Without an address it is off."""

    api_url: str | None = Field(
        default=None, description="Where it is, https://…; see docs/reference/generic-gateway.md."
    )
    api_key: SecretStr | None = Field(default=None, description="Sent as Authorization: Bearer.")
    webhook_secrets: list[SecretStr] = Field(
        default=[], max_length=2, description="By which it signs its webhooks; two while one is rotated."
    )
    token_url: str | None = Field(default=None, description="Where cards become tokens. Unset: api_url/tokens.")
    callback_url: str | None = Field(
        default=None, description="Where it posts its webhooks. Unset: public_url/webhooks/generic."
    )
    transaction_type: str = Field(
        default="DONATION", pattern="^[A-Z][A-Z_]{0,39}$", description="What payments by telephone are called there."
    )
    ca_file: Path | None = Field(default=None, description="CA certificates to trust instead of the system's.")
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="Longest wait for one answer.")

    @field_validator("api_url", "token_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        """TLS, since a key is sent there; plain http only to this very machine."""
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            is_loopback = host == "localhost" or (_ADDRESS.fullmatch(host) and ip_address(host).is_loopback)
        except ValueError:
            raise ValueError("write it as https://gateway.example.org/v1") from None
        if not host or parts.query or parts.fragment or parts.username is not None:
            raise ValueError("write it as https://gateway.example.org/v1")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
            raise ValueError("it must begin with https://; plain http is only for this very machine")
        return value.rstrip("/")


class TwilioSettings(Section):
    """Twilio, for SMS. Without an account SID the carrier is off."""

    account_sid: str | None = Field(default=None, description="Account SID (AC…).")
    auth_token: SecretStr | None = Field(default=None, description="Auth token; it also signs Twilio's webhooks.")
    from_number: str | None = Field(default=None, description="The number that messages come from, E.164.")
    messaging_service_sid: str | None = Field(
        default=None, description="A messaging service (MG…) instead of a number."
    )
    api_url: str = Field(default="https://api.twilio.com", description="Where Twilio's API is.")
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="Longest wait for one answer.")


class SmtpSettings(Section):
    """E-mail by SMTP. Without a host e-mail is off."""

    host: str | None = Field(default=None, description="The mail server that takes our messages.")
    port: int = Field(default=587, ge=1, le=65535, description="Its port: 587 for submission.")
    username: str | None = Field(default=None, description="User name, when the server asks for one.")
    password: SecretStr | None = Field(default=None, description="Password, when the server asks for one.")
    starttls: Literal["required", "never"] = Field(
        default="required", description="'never' sends in the clear: only for a server on this machine."
    )
    ca_file: Path | None = Field(default=None, description="CA certificates to trust instead of the system's.")
    from_address: str | None = Field(default=None, description="The address that messages come from.")
    timeout_s: float = Field(default=20.0, gt=0, le=120, description="Longest wait for one answer.")


class RecoverySettings(Section):
    """How failed payments are recovered."""

    merge_hold_s: float = Field(
        default=60.0, ge=0, le=3600, description="Wait before the first contact: one failure often sends three events."
    )
    link_valid_days: int = Field(default=30, ge=1, le=365, description="How long a payment link works.")


def known_zone(value: str | None) -> str | None:
    """An IANA time zone as it is. Raises `ValueError` for what is none."""
    if value is not None and not zones.is_known(value):
        raise ValueError(f"{value!r} is not an IANA time zone, such as America/New_York")
    return value


class ComplianceSettings(Section):
    """Who may be contacted when. The rules themselves are data in compliance/rules."""

    default_zone: str | None = Field(
        default=None,
        description="IANA zone of people about whom nothing is known (no number, no own word). Unset: they are held.",
    )
    default_region: str = Field(
        default="US", pattern="^[A-Z]{2}$", description="ISO 3166 country of numbers written without a country code."
    )

    confirm_opt_outs: bool = Field(
        default=True,
        description="One text that confirms a STOP, within five minutes. Turn it off if your carrier sends its own.",
    )
    presets: list[str] = Field(
        default=[],
        description="Sets of stricter rules that bind too; there is safe_everywhere. See docs/reference/rules.md.",
    )

    @field_validator("default_zone")
    @classmethod
    def _zone_is_known(cls, value: str | None) -> str | None:
        return known_zone(value)


class WorkerSettings(Section):
    """How attempts are leased and sent."""

    lease_s: float = Field(default=60.0, ge=1, le=3600, description="How long a worker may hold an attempt.")
    batch_max: int = Field(default=500, ge=1, le=5000, description="Attempts that pass the gate in one transaction.")
    send_concurrency: int = Field(default=25, ge=1, le=500, description="Messages on their way at the same time.")
    tick_s: float = Field(default=1.0, gt=0, le=60, description="How often due work is looked for without a hint.")
    attempt_tries_max: int = Field(default=8, ge=1, le=50, description="Handovers of one attempt before it fails.")
    doubt_settle_s: float = Field(
        default=120.0, ge=0, le=86_400, description="How long a provider may take to list a message it took."
    )
    receipt_poll_after_s: float = Field(
        default=300.0, gt=0, le=86_400, description="Silence after which the provider is asked how far a message got."
    )


class ApiSettings(Section):
    """The JSON API and the screens."""

    bind_host: str = Field(default="127.0.0.1", description="Address to listen on. Put TLS in front of it.")
    bind_port: int = Field(default=4000, ge=1, le=65535, description="Port to listen on.")
    token_valid_s: int = Field(default=3600, ge=60, le=86_400, description="Life of an access token.")
    requests_per_minute_max: int = Field(default=300, ge=1, description="Requests of one client in one minute.")
    session_idle_min: int = Field(default=15, ge=1, le=1440, description="A sign-in ends after this long unused.")
    session_valid_h: int = Field(default=12, ge=1, le=168, description="A sign-in ends after this long in any case.")
    trusted_proxies: Networks = Field(
        default=[], description="Networks of the proxies in front, believed in X-Forwarded-For."
    )


class WebhooksSettings(Section):
    """Webhooks that tell other systems what happened here. Their addresses are added by `tenderline webhooks add`."""

    allowed_networks: Networks = Field(
        default=[], description="Private networks that they may lie in; every other private address is refused."
    )
    http_on_loopback: bool = Field(
        default=False, description="Plain http to this very machine, for trying things out; else https everywhere."
    )
    ca_file: Path | None = Field(default=None, description="CA certificates to trust instead of the system's.")
    timeout_s: float = Field(default=15.0, gt=0, le=60, description="Longest wait for one answer.")


class VoiceSettings(Section):
    """The telephone: SIP, media, recordings. `tenderline voice` runs it."""

    enabled: bool = Field(default=False, description="Whether `tenderline serve` runs the telephone too.")
    bind_host: str = Field(default="127.0.0.1", description="Address for SIP and media.")
    sip_port: int = Field(default=5060, ge=0, le=65535, description="UDP port for SIP; 0 takes a free one.")
    advertised_host: str | None = Field(
        default=None, description="Address that others are told, when it is another one (behind NAT)."
    )
    rtp_port_min: int = Field(default=20_000, ge=1024, le=65_000, description="First of the UDP ports for media.")
    rtp_port_max: int = Field(default=29_999, ge=1025, le=65_535, description="Last of them; a call leg takes two.")
    calls_max: int = Field(default=150, ge=1, le=2_000, description="Calls at once; more are told that we are busy.")
    media_timeout_s: float = Field(default=30.0, gt=0, le=600, description="A call without audio for so long is ended.")
    calls_per_s: float = Field(default=20.0, gt=0, le=1_000, description="New calls a second from one address.")
    unlimited_networks: Networks = Field(
        default=[], description="Networks without that limit, such as your trunk's; they are never shut out either."
    )
    telephones_md5_only: bool = Field(
        default=False, description="For telephones that give up where SHA-256 is offered beside MD5 (baresip 1.0)."
    )
    trunk_host: str | None = Field(default=None, description="Address of the trunk that we call out through.")
    trunk_port: int = Field(default=5060, ge=1, le=65535, description="Its UDP port.")
    trunk_user: str | None = Field(default=None, description="User name at the trunk, when it asks for one.")
    trunk_password: SecretStr | None = Field(default=None, description="Password at the trunk.")
    trunk_register: bool = Field(default=False, description="Register at the trunk, so that it finds us.")
    caller_ids: list[str] = Field(
        default=[], max_length=1_000, description="Numbers that calls out may show, E.164; the first is the usual one."
    )
    calls_out_max: int = Field(default=20, ge=0, le=1_000, description="Calls of ours at once, of one node.")
    calls_out_per_s: float = Field(default=2.0, gt=0, le=100, description="New calls of ours a second, of one node.")
    callback_campaign: str | None = Field(
        default=None, description="Calling campaign that calls back who asked for it in a flow. Unset: only listed."
    )
    browser_queues: list[str] = Field(
        default=["general"], max_length=100, description="Queues whose calls are taken by agents' browsers."
    )
    browser_auto_answer: bool = Field(
        default=False, description="A call of the queue is put through to an agent's browser without her accepting it."
    )
    browser_grace_s: float = Field(
        default=20.0, ge=1, le=120, description="A caller waits so long for an agent whose browser lost its network."
    )
    browser_ice_urls: list[str] = Field(
        default=[], max_length=8, description="STUN and TURN servers for browsers that cannot reach this node: turn:…"
    )
    browser_ice_user: str | None = Field(default=None, description="User name at the TURN server.")
    browser_ice_password: SecretStr | None = Field(default=None, description="Password there; browsers are told it.")
    recordings_url: str | None = Field(
        default=None, description="Where recordings go: file:///…, s3://…, gs://…, az://…. Unset: data_dir/recordings."
    )
    sensitive_recordings_url: str | None = Field(
        default=None, description="Where sensitive ones go. Unset: data_dir/recordings-sensitive."
    )
    recordings_kept_days: int = Field(default=90, ge=1, le=3_650, description="Recordings are deleted after this.")


class CaptureSettings(Section):
    """Cards that callers key in. Their digits lie in a process of their own, which the machine must be able to keep."""

    enabled: bool = Field(default=False, description="Whether cards are taken by the keys of a telephone.")
    gateway: str | None = Field(default=None, description="Gateway that charges them. Unset: the first there is.")
    provider: str | None = Field(
        default=None,
        pattern=r"^(?:\+[1-9][0-9]{6,14}|sips?:[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.-]{1,200}(?::[0-9]{1,5})?)$",
        description="Menu of a payment provider, for the step provider_capture: a number in E.164 or a SIP address.",
    )
    shared_account: bool = Field(
        default=False, description="Others charge at the same gateway account: their payments are not held unmatched."
    )
    allowed_brands: list[str] = Field(
        default=[], max_length=20, description="Brands that are taken: visa, mastercard, amex, … Empty: every brand."
    )
    read_back: Literal["last_four", "full"] = Field(
        default="last_four", description="What of a number is read back; full speaks every digit to the caller."
    )
    tries_max: int = Field(default=3, ge=1, le=10, description="How often a field may be keyed.")
    field_s: float = Field(default=30.0, ge=20, le=120, description="How long the first key of a field is waited for.")
    between_keys_s: float = Field(default=5.0, ge=1, le=20, description="The pause after a key that ends a field.")
    postal_code: bool = Field(default=False, description="Whether the card's postal code is asked for.")
    declines_max: int = Field(
        default=3, ge=1, le=10, description="Cards that may be declined on a call, where its flow says nothing else."
    )
    minimum: int = Field(
        default=1, ge=0, le=1_000_000, description="The least that is taken by telephone, in whole units of a currency."
    )
    maximum: int = Field(
        default=10_000, ge=1, le=1_000_000, description="The most, in whole units; a flow may set narrower limits."
    )
    warm: int = Field(default=1, ge=0, le=20, description="Processes that are kept ready.")
    rooms_max: int = Field(default=50, ge=1, le=500, description="Cards that are keyed in at once, of one node.")
    strict: bool = Field(
        default=True, description="Take no card unless memory is locked and swap is off; anything else is for trying."
    )

    @field_validator("maximum")
    @classmethod
    def _maximum_is_not_below_minimum(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("minimum", 0):
            raise ValueError(f"{value} is less than capture.minimum, {info.data['minimum']}")
        return value


class IdentificationSettings(Section):
    """Callers who say whose account it is. What fails is counted in the database, until the first of it is old."""

    account_tries_max: int = Field(default=5, ge=1, le=100, description="Tries at one account, whoever calls.")
    caller_tries_max: int = Field(default=10, ge=1, le=1000, description="Tries from one number, at all accounts.")
    withheld_tries_max: int = Field(default=50, ge=0, le=10_000, description="The same, of all who withhold theirs.")
    window_h: int = Field(default=24, ge=1, le=720, description="How long tries count, in hours from the first.")


class ScanSettings(Section):
    """The nightly search for card data, by one worker."""

    enabled: bool = Field(default=True, description="Whether a worker searches once a day.")
    hour_utc: int = Field(default=3, ge=0, le=23, description="From this hour on, UTC.")
    paths: list[Path] = Field(
        default=[], max_length=100, description="Log files and folders outside data_dir that are searched too."
    )
    pause_ms: int = Field(
        default=20, ge=0, le=1_000, description="The night's rest after each 256 KB, so that the load stays low."
    )


class AuditSettings(Section):
    """The tamper-evident log."""

    head_file: Path | None = Field(
        default=None, description="Where the signed head of the chain is written; put it on another disk or host."
    )
    head_interval_s: float = Field(default=60.0, gt=0, le=3600, description="How often the head is signed.")

"""The settings of donor look-ups: one section for how callers are looked up, and one for each kind of CRM."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from tenderline.config_sections import Section, known_zone
from tenderline.core import database_url

SSL_MODES = frozenset({"require", "verify-ca", "verify-full"})


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine, by its name."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("write it as https://crm.example.org, without a user, a query or a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("needs https; plain http is for this very machine only")
    return value.rstrip("/")


HttpsUrl = Annotated[str | None, AfterValidator(_origin)]


class CrmSettings(Section):
    """Looking callers up in a CRM, beside the greeting. Without a kind only our own database is asked."""

    kind: Literal["none", "rest", "sql", "civicrm", "salesforce", "dynamics"] = Field(
        default="none", description="Which CRM is asked; its own section below says where it is."
    )
    budget_s: float = Field(
        default=2.0,
        gt=0,
        le=5,
        description="A call waits no longer for a look-up; then the caller is an unknown donor.",
    )
    late_wait_s: float = Field(
        default=15.0,
        ge=0,
        le=60,
        description="An answer that comes later than that still reaches the screen, until this.",
    )
    currency: str = Field(
        default="USD", pattern="^[A-Z]{3}$", description="Currency of amounts that the CRM gives without one."
    )
    zone: Annotated[str | None, AfterValidator(known_zone)] = Field(
        default=None,
        description="IANA zone by whose days gifts are booked. Unset: compliance.default_zone, and UTC without it.",
    )
    look_ups_at_once_max: int = Field(default=20, ge=1, le=200, description="Look-ups under way at once, of one node.")
    look_ups_per_s: float = Field(default=20.0, gt=0, le=1_000, description="New look-ups a second, of one node.")
    failures_max: int = Field(
        default=5, ge=1, le=100, description="Failures in a row after which the CRM is left alone for a while."
    )
    pause_s: float = Field(
        default=30.0, gt=0, le=600, description="For how long; the same when the slowest 5% are over the budget."
    )
    kept_days: int = Field(
        default=90, ge=1, le=3_650, description="What was known of callers is kept with their calls for so long."
    )
    write_back: bool = Field(
        default=True, description="Whether gifts, refunds, opt-outs and dispositions are written into the CRM."
    )
    write_gifts: Literal["telephone", "all"] = Field(
        default="telephone",
        description="Which: those taken by telephone, or all; the others your gateway may tell the CRM already.",
    )


class CrmRestSettings(Section):
    """A CRM that answers POST /api/v1/donor/lookup, with OAuth client credentials."""

    url: HttpsUrl = Field(default=None, description="Its address, without the path.")
    lookup_path: str = Field(default="/api/v1/donor/lookup", pattern="^/", description="Path of look-ups.")
    activity_path: str = Field(
        default="/api/v1/donor/activity", pattern="^/", description="Path that gifts, opt-outs and dispositions go to."
    )
    token_url: HttpsUrl = Field(default=None, description="Where access tokens come from. Unset: url + /oauth/token.")
    client_id: str | None = Field(default=None, description="OAuth client id.")
    client_secret: SecretStr | None = Field(default=None, description="OAuth client secret.")
    scope: str | None = Field(default=None, description="Scopes that are asked for, when the CRM needs them named.")


class CrmSqlSettings(Section):
    """A CRM's database (PostgreSQL). It is only read."""

    url: SecretStr | None = Field(
        default=None, description="postgresql://…; another machine needs sslmode=require or stronger in it."
    )
    query: str | None = Field(
        default=None,
        max_length=8_000,
        description="One SELECT with :identifier_value, :identifier_type or :digits (the number without its plus).",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql_with_tls(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        database_url.require_readable(url)
        # Without a host the environment names it; a service's file may name any.
        named = database_url.hosts(url) or tuple(os.environ.get("PGHOST", "").split(","))
        is_here = all(not host or host.startswith("/") or is_loopback(host) for host in named)
        is_here = is_here and database_url.parameter(url, "service") is None
        if not is_here and database_url.parameter(url, "sslmode") not in SSL_MODES:
            raise ValueError("needs sslmode=require, verify-ca or verify-full: donors' data cross a network")
        return value


class CiviCrmSettings(Section):
    """CiviCRM, by its API version 4."""

    url: HttpsUrl = Field(default=None, description="Address of the site, such as https://civi.example.org.")
    api_key: SecretStr | None = Field(default=None, description="API key of a contact who may read and write.")
    financial_type: str = Field(default="Donation", max_length=60, description="Financial type of gifts we write.")


class SalesforceSettings(Section):
    """Salesforce with the Nonprofit Success Pack (NPSP)."""

    url: HttpsUrl = Field(default=None, description="My Domain, such as https://example.my.salesforce.com.")
    client_id: str | None = Field(default=None, description="Consumer key of a connected app.")
    client_secret: SecretStr | None = Field(default=None, description="Its consumer secret.")
    api_version: str = Field(default="v62.0", pattern=r"^v\d{2,3}\.0$", description="Version of the REST API.")
    key_field: str = Field(
        default="Tenderline_Key__c",
        pattern="^[A-Za-z][A-Za-z0-9_]{0,39}__c$",
        description="External id, unique, on Contact, Opportunity and Task, that holds our keys.",
    )
    refunded_stage: str = Field(default="Closed Lost", max_length=40, description="Stage of a gift that was refunded.")


class DynamicsSettings(Section):
    """Microsoft Dynamics 365, by the Dataverse Web API, with the tables of Fundraising and Engagement."""

    url: HttpsUrl = Field(default=None, description="Address of the environment: https://example.crm.dynamics.com.")
    tenant_id: str | None = Field(default=None, pattern="^[0-9A-Za-z.-]{1,80}$", description="Tenant of the app.")
    client_id: str | None = Field(default=None, description="Id of the registered app.")
    client_secret: SecretStr | None = Field(default=None, description="Its client secret.")
    login_url: HttpsUrl = Field(
        default="https://login.microsoftonline.com", description="Where access tokens come from."
    )

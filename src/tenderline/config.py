"""Every setting, once: flags > `TENDERLINE_*` (and `TENDERLINE_*_FILE` for secrets) > `tenderline.toml` > defaults.

Secrets are `SecretStr`: they do not print. An unknown key is an error that names the nearest one. How the settings are
shown to people stands in `config_shown.py`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tenderline.config_crm import CiviCrmSettings as CiviCrmSettings
from tenderline.config_crm import CrmRestSettings as CrmRestSettings
from tenderline.config_crm import CrmSettings as CrmSettings
from tenderline.config_crm import CrmSqlSettings as CrmSqlSettings
from tenderline.config_crm import DynamicsSettings as DynamicsSettings
from tenderline.config_crm import SalesforceSettings as SalesforceSettings
from tenderline.config_distress import DistressSettings as DistressSettings
from tenderline.config_sections import ApiSettings as ApiSettings
from tenderline.config_sections import AuditSettings as AuditSettings
from tenderline.config_sections import CaptureSettings as CaptureSettings
from tenderline.config_sections import ComplianceSettings as ComplianceSettings
from tenderline.config_sections import GenericSettings as GenericSettings
from tenderline.config_sections import IdentificationSettings as IdentificationSettings
from tenderline.config_sections import RecoverySettings as RecoverySettings
from tenderline.config_sections import ScanSettings as ScanSettings
from tenderline.config_sections import Section as Section
from tenderline.config_sections import SmtpSettings as SmtpSettings
from tenderline.config_sections import StripeSettings as StripeSettings
from tenderline.config_sections import TwilioSettings as TwilioSettings
from tenderline.config_sections import VoiceSettings as VoiceSettings
from tenderline.config_sections import WebhooksSettings as WebhooksSettings
from tenderline.config_sections import WorkerSettings as WorkerSettings
from tenderline.core import database_url
from tenderline.core.errors import ConfigurationError

ENV_PREFIX = "TENDERLINE_"
CONFIG_FILE_VARIABLE = "TENDERLINE_CONFIG"
DEFAULT_CONFIG_FILE = "tenderline.toml"


def default_data_dir() -> Path:
    """/var/lib/tenderline for root (its database runs as a user of its own), else the XDG data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/tenderline")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "tenderline"


class Settings(BaseSettings):
    """Tenderline's settings."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    organisation: str = Field(default="Your organisation", max_length=60, description="The name payers know you by.")
    public_url: str = Field(
        default="http://127.0.0.1:4000", description="The address under which payers and providers reach this system."
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="Embedded database, keys, audit heads.")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… of version 15 or later. Unset: an embedded PostgreSQL in data_dir."
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Signs links and sessions (32 characters or more). Unset: made once, kept in data_dir.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="How much is logged.")
    stripe: StripeSettings = StripeSettings()
    generic: GenericSettings = GenericSettings()
    twilio: TwilioSettings = TwilioSettings()
    smtp: SmtpSettings = SmtpSettings()
    recovery: RecoverySettings = RecoverySettings()
    compliance: ComplianceSettings = ComplianceSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    voice: VoiceSettings = VoiceSettings()
    capture: CaptureSettings = CaptureSettings()
    identification: IdentificationSettings = IdentificationSettings()
    distress: DistressSettings = DistressSettings()
    crm: CrmSettings = CrmSettings()
    crm_rest: CrmRestSettings = CrmRestSettings()
    crm_sql: CrmSqlSettings = CrmSqlSettings()
    civicrm: CiviCrmSettings = CiviCrmSettings()
    salesforce: SalesforceSettings = SalesforceSettings()
    dynamics: DynamicsSettings = DynamicsSettings()
    audit: AuditSettings = AuditSettings()
    scan: ScanSettings = ScanSettings()
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """For every key set somewhere, where, as `load` found it."""
        return self._sources

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write it as https://pay.example.org")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _database_url_can_be_read(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            database_url.require_readable(value.get_secret_value())
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("needs 32 characters or more")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: it reads the sources itself, so that it can say where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class Loaded:
    """The settings, and for every key set somewhere, where."""

    def __init__(self, settings: Settings, sources: dict[str, str]) -> None:
        self.settings = settings
        self.sources = sources


def known_keys() -> dict[str, type[BaseModel] | None]:
    """Every dotted key; sections map to their class."""
    keys: dict[str, type[BaseModel] | None] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys[name] = field.annotation
            keys.update({f"{name}.{inner}": None for inner in field.annotation.model_fields})
        else:
            keys[name] = None
    return keys


def _refuse_unknown(key: str, source: str) -> None:
    near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "; `tenderline config show` lists every key"
    raise ConfigurationError(f"Unknown setting {key!r} in {source}{hint}")


def _flatten(table: dict[str, Any], source: str) -> dict[str, Any]:
    keys = known_keys()
    flat: dict[str, Any] = {}
    for name, value in table.items():
        section = keys.get(name)
        if section is not None and isinstance(value, dict):
            for inner, inner_value in value.items():
                if f"{name}.{inner}" not in keys:
                    _refuse_unknown(f"{name}.{inner}", source)
                flat[f"{name}.{inner}"] = inner_value
        elif name not in keys or section is not None:
            _refuse_unknown(name, source)
        else:
            flat[name] = value
    return flat


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return _flatten(tomllib.loads(path.read_text("utf-8")), str(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


# Variables that start like ours but are not settings.
_NOT_SETTINGS = frozenset(
    {
        CONFIG_FILE_VARIABLE,
        "TENDERLINE_INSTANCE",
        "TENDERLINE_PAYLOADS",
        "TENDERLINE_TEST_DATABASE_URL",
        "TENDERLINE_TEST_PICTURES",
    }
)


def _from_environment(environment: dict[str, str]) -> dict[str, tuple[Any, str]]:
    keys = known_keys()
    found: dict[str, tuple[Any, str]] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
            continue
        key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        value: Any = environment[variable]
        if key.endswith("_file") and key not in keys:
            key = key.removesuffix("_file")
            try:
                value = Path(value).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"{variable} names a file that cannot be read: {error}") from error
        if key not in keys or keys[key] is not None:
            _refuse_unknown(key, f"the environment ({variable})")
        found[key] = (value, variable)
    return found


def load(
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    config_file: Path | None = None,
) -> Loaded:
    """Reads every source, strongest last to win: file, environment, flags (dotted keys).

    Raises `ConfigurationError` that names the key, the source and the reason.
    """
    environment = dict(os.environ) if environment is None else environment
    flat: dict[str, Any] = {}
    sources: dict[str, str] = {}
    named = config_file or (Path(environment[CONFIG_FILE_VARIABLE]) if environment.get(CONFIG_FILE_VARIABLE) else None)
    path = named or Path(DEFAULT_CONFIG_FILE)
    if named is not None or path.is_file():
        for key, value in _from_file(path).items():
            flat[key], sources[key] = value, str(path)
    for key, (value, variable) in _from_environment(environment).items():
        flat[key], sources[key] = value, variable
    for key, value in (flags or {}).items():
        if key not in known_keys():
            _refuse_unknown(key, "the command line")
        flat[key], sources[key] = value, "command line"
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, inner = key.partition(".")
        if inner:
            nested.setdefault(section, {})[inner] = value
        else:
            nested[section] = value
    try:
        settings = Settings(**nested)
        settings._sources = sources
        return Loaded(settings, sources)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        where = sources.get(key, "the defaults")
        raise ConfigurationError(
            f"Setting {key!r} (from {where}): {first['msg'].removeprefix('Value error, ')}"
        ) from error

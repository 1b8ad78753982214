"""What a sandbox is told at its start; nothing comes from the environment, so two of them never surprise each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LOOPBACK: Final = "127.0.0.1"
"""Every server of the sandbox binds here and nowhere else: it has no real authentication."""


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """Addresses and shared secrets of the simulated vendors. Port 0 takes any free one."""

    product_url: str = ""
    """Where the product listens, as http://host:port; without it nothing is posted to the product."""
    port: int = 0
    smtp_port: int = 0
    bank_port: int = 0

    account_sid: str = "AC" + "0" * 32
    auth_token: str = field(default="sandbox-auth-token", repr=False)
    carrier_numbers: tuple[str, ...] = ("+15005550006",)
    messaging_service_sid: str = "MG" + "0" * 32
    inbound_path: str = "/webhooks/twilio"
    callback_delay_ms: int = 300
    """How long a message stays in each state on its way to the handset."""
    carrier_keeps_opt_outs: bool = False
    """Whether the carrier itself refuses numbers that wrote STOP. Off: it is the product's silence that counts."""

    smtp_username: str | None = None
    smtp_password: str | None = field(default=None, repr=False)
    smtp_starttls: bool = False
    smtp_certificate_path: str | None = None
    """Where the self-signed certificate is written for clients to trust; None makes a temporary file."""

    api_key: str = field(default="sk_test_sandbox", repr=False)
    webhook_secret: str = field(default="whsec_sandbox", repr=False)
    stripe_webhook_path: str = "/webhooks/stripe"

    crm_client_id: str = "tenderline"
    crm_client_secret: str = field(default="sandbox-crm-secret", repr=False)

    def __post_init__(self) -> None:
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("smtp_username and smtp_password go together: set both, or neither.")
        if not self.carrier_numbers:
            raise ValueError("carrier_numbers needs at least one number for the product to send from.")
        if self.callback_delay_ms < 0:
            raise ValueError("callback_delay_ms cannot be negative.")

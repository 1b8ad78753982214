"""Webhooks to others, without a network: how they are signed, what they say, when they are tried, where they may go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import outgoing, sealed, standard_webhooks
from tenderline.core.events import PersonOptedIn, PersonOptedOut
from tenderline.core.outgoing import Reached
from tenderline.core.sealed import SealBrokenError
from tenderline.outgoing import addresses
from tenderline.outgoing.addresses import AddressRefusedError, Policy
from tenderline.outgoing.delivery import JITTER_SHARE, PAUSES_S, pause_s

AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PERSON = UUID(int=7)
CLOSED = Policy()


@pytest.mark.parametrize(
    ("secret", "name", "at_unix_s", "body", "expected"),
    [
        # What the libraries of Standard Webhooks and of Svix are tested with, and the example of their documents.
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1_731_705_121,
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
    ],
)
def test_the_signature_is_that_of_the_published_examples(
    secret: str, name: str, at_unix_s: int, body: bytes, expected: str
) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))  # the second is shorter than a secret may be
    assert standard_webhooks.signature(key, name, at_unix_s, body) == expected


def test_while_a_secret_is_changed_both_sign() -> None:
    old, new = (standard_webhooks.key_of(standard_webhooks.new_secret()) for _ in range(2))
    made = standard_webhooks.headers(UUID(int=1), 1_731_705_121, b"{}", [new, old])
    assert made["webhook-id"] == f"msg_{UUID(int=1).hex}"
    assert made["webhook-timestamp"] == "1731705121"
    signatures = made["webhook-signature"].split(" ")
    signed = f"{made['webhook-id']}.1731705121.{{}}".encode()
    assert signatures == [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (new, old)
    ]


@pytest.mark.parametrize("wrong", ["", "plJ3nmyCDGBKInavdOK15jsl", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64!"])
def test_what_is_no_secret_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        standard_webhooks.key_of(wrong)


def test_a_sealed_secret_opens_only_with_its_key_and_in_its_place() -> None:
    key, other = b"k" * 32, b"o" * 32
    kept = sealed.seal(key, b"secret", of=b"one")
    assert sealed.unseal(key, kept, of=b"one") == b"secret"
    assert b"secret" not in kept
    assert kept != sealed.seal(key, b"secret", of=b"one")
    for wrong_key, wrong, place in (
        (other, kept, b"one"),
        (key, kept, b"two"),
        (key, kept[:-1], b"one"),
        (key, b"", b""),
    ):
        with pytest.raises(SealBrokenError):
            sealed.unseal(wrong_key, wrong, of=place)


def test_a_message_says_who_by_what_when_and_how_and_nothing_else() -> None:
    event = PersonOptedOut(
        person_id=PERSON, channel="sms", text="STOP, I owe nothing", how="reply", address="+12025550123",
        said_at="2026-11-21T02:59:58.123456-05:00",
    )  # fmt: skip
    reached = Reached(phone_numbers=["+12025550123", "+12025550124"], email_addresses=["ann@example.org"])
    name, body = outgoing.told_of(event, AT, reached)
    assert name == "contact.opted_out"
    assert json.loads(body) == {
        "type": "contact.opted_out",
        "timestamp": "2026-11-21T08:00:00.000Z",
        "data": {
            "personId": str(PERSON),
            "globalOptOutStatus": "TRUE",
            "channel": "sms",
            "how": "reply",
            "address": "+12025550123",
            "phoneNumbers": ["+12025550123", "+12025550124"],
            "emailAddresses": ["ann@example.org"],
            "at": "2026-11-21T07:59:58.123Z",
        },
    }


def test_an_event_of_an_earlier_version_is_told_with_what_it_knows() -> None:
    name, body = outgoing.told_of(PersonOptedIn(person_id=PERSON, channel="sms"), AT, Reached())
    data = json.loads(body)["data"]
    assert (name, data["globalOptOutStatus"]) == ("contact.opted_in", "FALSE")
    assert (data["address"], data["how"], data["at"]) == (None, None, "2026-11-21T08:00:00.000Z")


def test_tries_are_spread_over_three_days_and_then_end() -> None:
    assert [round(one / 3_600, 1) for one in PAUSES_S[3:]] == [2, 5, 10, 14, 20, 24]
    for tries in range(1, 10):
        for _ in range(50):
            pause = pause_s(tries)
            assert pause is not None
            assert PAUSES_S[tries - 1] <= pause <= PAUSES_S[tries - 1] * (1 + JITTER_SHARE)
    assert pause_s(10) is None
    assert pause_s(11) is None, "a lease that was lost was a try too"
    assert len({pause_s(5) for _ in range(20)}) > 1, "a crowd does not come back at once"


def test_a_receiver_that_asks_for_a_longer_pause_gets_it() -> None:
    assert pause_s(1, 3_600.0) == 3_600.0
    assert pause_s(10, 3_600.0) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example.org/hooks",
        "https://crm.example.org:8443/hooks?token=x",
        "https://xn--bcher-kva.example/",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://a_b.example.org",
        "https://example.org./",
    ],
)
def test_a_public_address_by_https_has_the_right_form(url: str) -> None:
    assert addresses.target_of(url, CLOSED).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.org/",
        "ftp://crm.example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_SET",
        "//crm.example.org/",
        "https://",
        "https:///path",
        "https://user:secret@crm.example.org/",
        "https://user@crm.example.org/",
        "https://crm.example.org@127.0.0.1/",
        "https://crm.example.org\\@127.0.0.1/",
        "https://crm.example.org/#part",
        "https://crm.example.org/ x",
        "https://crm.example.org/\nHost: evil",
        "https://crm.example.org:0/",
        "https://crm.example.org:99999/",
        "https://crm.example.org:25/",
        "https://crm.example.org:80/",
        "https://crm.example.org:1023/",
        "https://crm.example.org:80:90/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1.0/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1]evil/",
        "https://exa%6dple.org/",
        "https://bücher.example/",
        "https://-crm-.example.org/",
        "https://crm..example.org/",
        "https://" + "a" * 64 + ".example.org/",
        "https://crm.example.org/" + "a" * 3_000,
    ],
)
def test_an_address_in_another_form_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        addresses.target_of(url, CLOSED)


PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::",
    "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::ffff:1.1.1.1",    "::127.0.0.1", "100::1", "3fff::1", "fec0::1", "fe80::1%eth0",
]  # fmt: skip
PUBLIC = [
    "93.184.216.34",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "64:ff9b::101:101",
]


async def _resolve(url: str, *found: str, policy: Policy = CLOSED) -> list[str]:
    async def lookup(host: str, port: int) -> list[str]:
        del host, port
        return list(found)

    return [str(one) for one in await addresses.resolve(addresses.target_of(url, policy), policy, lookup)]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_into_a_network_of_ours_is_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        await _resolve("https://crm.example.org/", address)
    with pytest.raises(AddressRefusedError):
        await _resolve("https://crm.example.org/", "93.184.216.34", address)
    if "%" not in address:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(AddressRefusedError):
            await _resolve(f"https://{host}/")


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_name_that_leads_to_the_world_is_called(address: str) -> None:
    assert await _resolve("https://crm.example.org/", address) == [str(ip_address(address))]


@pytest.mark.parametrize("port", [443, 1024, 8443, 65_535])
def test_it_may_listen_where_web_servers_do(port: int) -> None:
    assert addresses.target_of(f"https://crm.example.org:{port}/", CLOSED).port == port


@given(
    st.one_of(
        st.ip_addresses(),
        st.sampled_from(sorted(set(PRIVATE) - {"fe80::1%eth0"})).map(ip_address),
        st.ip_addresses(v=4).map(lambda one: ip_address(f"::ffff:{one}")),
        st.ip_addresses(v=4).map(lambda one: ip_address(f"64:ff9b::{one}")),
        st.ip_addresses(v=4).map(lambda one: ip_address(f"2002:{int(one) >> 16:x}:{int(one) & 0xFFFF:x}::1")),
    )
)
def test_what_may_be_called_is_public_by_the_librarys_lights_too(address: Any) -> None:
    target = addresses.target_of("https://crm.example.org/", CLOSED)
    try:
        allowed = addresses.require_allowed(str(address), target, CLOSED)
    except AddressRefusedError:
        return
    assert allowed == address
    if address in ip_network("64:ff9b::/96"):
        address = ip_address(int(address) & 0xFFFF_FFFF)
    assert address.is_global
    assert not any((address.is_multicast, address.is_reserved, address.is_loopback, address.is_link_local))
    assert address not in ip_network("100.64.0.0/10")
    assert getattr(address, "ipv4_mapped", None) is None


@given(st.ip_addresses(v=4).filter(lambda one: one.is_global and not one.is_multicast and not one.is_reserved))
def test_nearly_all_of_the_public_internet_may_be_called(address: Any) -> None:
    target = addresses.target_of("https://crm.example.org/", CLOSED)
    own = [ip_network(one) for one in ("192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24")]
    own += [ip_network("192.0.0.0/24"), ip_network("168.63.129.16/32")]
    if not any(address in one for one in own):
        assert addresses.require_allowed(str(address), target, CLOSED) == address


async def test_an_operator_lets_a_network_of_hers_pass_and_no_other() -> None:
    policy = Policy(allowed=[ip_network("10.1.0.0/16"), ip_network("fd12::/16")])
    assert await _resolve("https://crm.internal/", "10.1.2.3", policy=policy) == ["10.1.2.3"]
    assert await _resolve("https://crm.internal/", "::ffff:10.1.2.3", policy=policy)
    assert await _resolve("https://crm.internal/", "fd12::5", policy=policy) == ["fd12::5"]
    for other in ("10.2.0.1", "127.0.0.1", "169.254.169.254"):
        with pytest.raises(AddressRefusedError, match=r"webhooks\.allowed_networks"):
            await _resolve("https://crm.internal/", other, policy=policy)


async def test_plain_http_goes_to_this_machine_only_and_only_when_it_is_allowed() -> None:
    lab = Policy(http_on_loopback=True)
    assert await _resolve("http://localhost:8000/", "127.0.0.1", "::1", policy=lab) == ["127.0.0.1", "::1"]
    for elsewhere in ("93.184.216.34", "10.0.0.1", "169.254.169.254"):
        with pytest.raises(AddressRefusedError, match="use https"):
            await _resolve("http://localhost:8000/", elsewhere, policy=lab)
    with pytest.raises(AddressRefusedError):
        await _resolve("https://localhost:8000/", "127.0.0.1", policy=lab)


async def test_a_name_without_an_address_is_no_address() -> None:
    with pytest.raises(OSError, match="no address"):
        await _resolve("https://crm.example.org/")

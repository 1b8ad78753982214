"""Who is calling: what trusted proxies say is believed, what the caller wrote is not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline import config
from tenderline.core.client_address import HOPS_MAX, client_address
from tenderline.core.errors import ConfigurationError

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")]
PROXY, CLIENT, LIE = "10.0.0.1", "203.0.113.7", "198.51.100.66"


@pytest.mark.parametrize("header", [[], [LIE], [f"{LIE}, {PROXY}"], ["junk"]])
def test_somebody_who_is_no_trusted_proxy_is_who_she_is_whatever_she_writes(header: list[str]) -> None:
    assert client_address(CLIENT, header, TRUSTED) == CLIENT
    assert client_address(PROXY, header, []) == PROXY


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ([CLIENT], CLIENT),
        ([f"{LIE}, {CLIENT}"], CLIENT),
        ([f"{LIE}, 10.9.9.9, {CLIENT}"], CLIENT),
        ([LIE, CLIENT], CLIENT),
        ([f"{LIE}, {CLIENT}, 10.2.3.4"], CLIENT),
        ([f"{LIE},{CLIENT}", "10.2.3.4, 2001:db8:1::9"], CLIENT),
        ([f"  {CLIENT}\t"], CLIENT),
        ([f"{CLIENT}:4711"], CLIENT),
        (["2001:db8:2::7"], "2001:db8:2::7"),
        (["2001:DB8:2:0:0:0:0:7"], "2001:db8:2::7"),
        (["[2001:db8:2::7]"], "2001:db8:2::7"),
        (["[2001:db8:2::7]:443"], "2001:db8:2::7"),
        ([f"::ffff:{CLIENT}"], CLIENT),
    ],
)
def test_behind_trusted_proxies_the_rightmost_address_that_is_not_theirs_counts(header: list[str], found: str) -> None:
    assert client_address(PROXY, header, TRUSTED) == found


JUNK = [
    *("", " ", "unknown", "_hidden", "203.0.113", "203.0.113.7:", "203.0.113.7:99999999", "1.2.3.4.5", "[::1"),
    *("fe80::1%eth0", "\u0662\u0660\u0663.0.113.7", '"203.0.113.7"', "for=203.0.113.7", "\x00", "0x7f.1", "10"),
    "x" * 9000,
]


@pytest.mark.parametrize("junk", JUNK)
def test_nothing_to_the_left_of_junk_is_believed(junk: str) -> None:
    assert client_address(PROXY, [f"{LIE}, {junk}"], TRUSTED) == PROXY
    assert client_address(PROXY, [f"{LIE}, {junk}, 10.0.0.2"], TRUSTED) == "10.0.0.2"
    assert client_address(PROXY, [f"{junk}, {CLIENT}"], TRUSTED) == CLIENT


def test_a_caller_inside_the_trusted_networks_is_the_first_of_them() -> None:
    assert client_address(PROXY, ["10.0.0.3, 10.0.0.2"], TRUSTED) == "10.0.0.3"
    assert client_address(PROXY, [], TRUSTED) == PROXY


def test_a_proxy_may_be_met_under_its_mapped_or_its_v6_address() -> None:
    assert client_address("::ffff:10.0.0.1", [CLIENT], TRUSTED) == CLIENT
    assert client_address("2001:db8:1::5", [CLIENT], TRUSTED) == CLIENT


@pytest.mark.parametrize("peer", ["unknown", "testclient", "fe80::1%eth0", ""])
def test_a_peer_without_an_address_is_left_as_it_is(peer: str) -> None:
    assert client_address(peer, [CLIENT], TRUSTED) == peer


def test_a_header_without_end_is_read_for_a_few_hops_only() -> None:
    chain = ", ".join([CLIENT, *["10.0.0.9"] * HOPS_MAX])
    assert client_address(PROXY, [chain], TRUSTED) == "10.0.0.9"
    assert client_address(PROXY, [", ".join([CLIENT, *["10.0.0.9"] * (HOPS_MAX - 1)])], TRUSTED) == CLIENT


@given(st.lists(st.text(max_size=60), max_size=5))
def test_whatever_the_caller_wrote_before_it_the_proxys_own_entry_wins(written: list[str]) -> None:
    assert client_address(PROXY, [*written, CLIENT], TRUSTED) == CLIENT


def test_the_setting_takes_networks_and_single_addresses_from_every_source() -> None:
    expected = [ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"), ip_network("2001:db8::/32")]
    text = "10.0.0.0/8, 192.0.2.7,2001:db8::/32"
    assert config.load({}, {}).settings.api.trusted_proxies == []
    assert config.load({}, {"TENDERLINE_API__TRUSTED_PROXIES": text}).settings.api.trusted_proxies == expected
    assert config.load({"api.trusted_proxies": text}, {}).settings.api.trusted_proxies == expected
    assert (
        config.load({"api.trusted_proxies": text.replace(" ", "").split(",")}, {}).settings.api.trusted_proxies
        == expected
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [("10.0.0.1/8", "'10.0.0.1/8' is not a network"), ("localhost", "'localhost'"), ("0.0.0.0/0", "everybody"),
     ("::/0", "everybody"), (",".join(["10.0.0.1"] * 33), "up to 32")],
)  # fmt: skip
def test_a_setting_that_is_no_list_of_networks_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        config.load({}, {"TENDERLINE_API__TRUSTED_PROXIES": value})
    assert "TENDERLINE_API__TRUSTED_PROXIES" in str(refused.value)

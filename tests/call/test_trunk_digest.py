"""A trunk that asks who we are: digest authentication of our INVITE (RFC 3261, 22), checked from its description."""

from __future__ import annotations

import asyncio
import hashlib
import re

import pytest

from call.conftest import nothing_left
from tenderline.voice.placing import Unplaced

OURS, USER, PASSWORD, REALM, NONCE = "+18005550100", "branch-7", "open sesame", "trunk.example", "b6f1a2"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def fields_of(header):
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)}


def is_right(header, method="INVITE"):
    """Whether the response fits the password, with or without qop."""
    given = fields_of(header)
    ha1, ha2 = md5(f"{USER}:{REALM}:{PASSWORD}"), md5(f"{method}:{given['uri']}")
    middle = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if "qop" in given else ""
    return given["nonce"] == NONCE and given["response"] == md5(f"{ha1}:{NONCE}:{middle}{ha2}")


class Trunk(asyncio.DatagramProtocol):
    """Challenges every INVITE without a right answer; whoever has one is told that the line is busy."""

    def __init__(self):
        self.seen = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        text = data.decode()
        method = text.split(" ", 1)[0]
        if method == "ACK":
            return
        status, more = "200 OK", ""
        if method == "INVITE":
            header = re.search(r"(?mi)^proxy-authorization: (.+?)\r$", text)
            self.seen.append(bool(header and is_right(header[1])))
            status = "486 Busy Here" if self.seen[-1] else "407 Proxy Authentication Required"
            if not self.seen[-1]:
                more = f'Proxy-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5, qop="auth"\r\n'
        kept = re.findall(r"(?mi)^(?:via|from|call-id|cseq): .+\r$", text)
        to = re.search(r"(?mi)^to: (.+?)\r$", text)[1]
        lines = "\n".join(kept) + f"\nTo: {to};tag=t1\r\n{more}Content-Length: 0\r\n\r\n"
        self.transport.sendto(f"SIP/2.0 {status}\r\n{lines}".encode(), source)


@pytest.fixture
async def trunk():
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Trunk, local_addr=("127.0.0.1", 0))
    protocol.port = transport.get_extra_info("sockname")[1]
    yield protocol
    transport.close()


@pytest.mark.parametrize(("password", "outcome"), [(PASSWORD, "busy"), ("wrong", "not_sent")])
async def test_a_trunk_that_asks_is_answered_by_digest(make_node, trunk, password, outcome):
    node = await make_node(
        voice__trunk_host="127.0.0.1", voice__trunk_port=str(trunk.port), voice__caller_ids=OURS,
        voice__trunk_user=USER, voice__trunk_password=password,
    )  # fmt: skip
    async with nothing_left(node):
        found = await node.exchange.place("+12025550123", ring_s=5, caller_id=OURS, keys_offered=True)
    assert isinstance(found, Unplaced)
    assert found.why == outcome
    assert trunk.seen[0] is False
    assert trunk.seen[-1] is (password == PASSWORD)
    assert len(trunk.seen) <= 3, "a wrong password is not tried for ever"

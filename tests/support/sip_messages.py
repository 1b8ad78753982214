"""SIP messages for tests: a plain request that everything is a small step away from, and the torture of RFC 4475."""

from __future__ import annotations

PLAIN = {
    "via": "SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK7a1;rport",
    "from": "<sip:ann@192.0.2.9>;tag=a1",
    "to": "<sip:desk@192.0.2.1>",
    "call-id": "c1@192.0.2.9",
    "cseq": "1 {method}",
    "max-forwards": "70",
    "contact": "<sip:ann@192.0.2.9:5062>",
}


def request(method="INVITE", uri="sip:desk@192.0.2.1", *, version="SIP/2.0", body="", drop=(), extra=(), **changes):
    """A request as bytes; `changes` replace headers (with _ for -), `drop` leaves some out, `extra` adds lines."""
    headers = {**PLAIN, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{method} {uri} {version}"]
    lines += [f"{name}: {value.replace('{method}', method)}" for name, value in headers.items() if name not in drop]
    lines += list(extra)
    if body and "content-type" not in headers:
        lines.append("content-type: application/sdp")
    if "content-length" not in headers and "content-length" not in drop:
        lines.append(f"content-length: {len(body.encode())}")
    return ("\r\n".join([*lines, "", ""]) + body).encode()


SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

# What becomes of each: "passed", "dropped", or the status. After the cases of RFC 4475, section 3, and RFC 5118; the
# messages are ours.
TORTURE: dict[str, tuple[bytes, object]] = {
    "folded headers and strange white space": (
        request(
            "INVITE",
            drop=("to", "cseq", "via"),
            extra=(
                "TO :\r\n sip:desk@192.0.2.1 ;\r\n   tag    = 1918181833n",
                "CSeq: 0009\r\n  INVITE",
                "v:  SIP  / 2.0\r\n  /UDP\r\n    192.0.2.2;branch=390skdjuw",
                "Subject:",
            ),
        ),
        "passed",
    ),
    "a method of every character that is allowed": (request("!interesting-Method0123456789_*+`.%indeed'~"), 501),
    "escaped characters in the URI": (request("INVITE", "sip:sips%3Auser%40example.com@example.net"), "passed"),
    "an escaped null": (request("OPTIONS", "sip:null-%00-null@example.com"), "passed"),
    "a method in which percent signs are no escapes": (request("RE%47IST%45R"), 501),
    "no space between name and bracket": (request(**{"from": "caller<sip:ann@192.0.2.9>;tag=323"}), "passed"),
    "a very long request": (request(extra=[f"x-{n}: {'y' * 200}" for n in range(90)]), "passed"),
    "a second message behind the body": (
        request("OPTIONS", content_length="0", body="INVITE sip:joe@example.com SIP/2.0\r\nt: x\r\n"),
        "passed",
    ),
    "a semicolon in the user part": (request("OPTIONS", "sip:user;par=u%40example.net@example.com"), "passed"),
    "a transport that nobody has": (request(via="SIP/2.0/UNKNOWN t1.example.com;branch=z9hG4bKx"), "passed"),
    "an unusual reason": (
        b"SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 5 INVITE\r\nContent-Length: 0\r\n\r\n",
        "passed",
    ),
    "extra commas and semicolons": (request(via=";,;,,", contact='"Joe" <sip:joe@example.org>;;;;'), 400),
    "a length beyond the end": (request(body=SDP, content_length="9999"), 400),
    "a negative length": (request(content_length="-999"), 400),
    "numbers that are too large": (request(cseq="36893488147419103232 INVITE", max_forwards="300"), 400),
    "a date of another zone": (request(extra=["Date: Fri, 01 Jan 2010 16:00:00 EST"]), "passed"),
    "quotes that do not end": (request(to='"Mr. J. User <sip:j.user@example.com>'), 400),
    "brackets around the URI": (request("INVITE", "<sip:desk@192.0.2.1>"), "dropped-or-400"),
    "spaces in the URI": (request("INVITE", "sip:desk@192.0.2.1; lr"), "dropped"),
    "spaces at the end of the first line": (request("INVITE").replace(b"SIP/2.0\r\n", b"SIP/2.0  \r\n", 1), "passed"),
    "escaped headers in the URI": (request("INVITE", "sip:user@example.com?Route=%3Csip:x@y%3E"), "passed"),
    "a name that needs quotes": (request("OPTIONS", to="Bell, Alexander <sip:a.g.bell@example.com>"), "passed"),
    "a protocol of another version": (request(version="SIP/7.0"), 505),
    "a CSeq of another method": (request("OPTIONS", cseq="8 INVITE"), 400),
    "an unknown method with its CSeq": (request("NEWMETHOD"), 501),
    "an unknown URI scheme": (request("OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent"), 416),
    "a known scheme that is not SIP": (request("OPTIONS", "soap.beep://192.0.2.103:3002"), 416),
    "an unknown scheme in a header": (request("REGISTER", to="isbn:2983792873;tag=1"), "passed"),
    "an extension that is demanded": (request(extra=["Require: nothingSupportsThis, nor-this"]), 420),
    "session timers are no such extension": (request(extra=["Require: timer"]), "passed"),
    "an unknown body": (request(body="<foo/>", content_type="application/unknown"), 415),
    "a body in a coding of its own": (request(body=SDP, extra=["Content-Encoding: gzip"]), 415),
    "no more hops": (request("OPTIONS", max_forwards="0"), 483),
    "values that may stand once, twice": (request(extra=["CSeq: 5 INVITE", "Call-ID: other"]), 400),
    "no To": (request(drop=("to",)), 400),
    "no From": (request(drop=("from",)), "dropped"),
    "no Via": (request(drop=("via",)), "dropped"),
    "no CSeq": (request(drop=("cseq",)), "dropped"),
    "From of the time before tags": (request(**{"from": "<sip:ann@192.0.2.9>"}), 400),
    "INVITE without Contact": (request(drop=("contact",)), 400),
    "many Contacts": (request(contact="<sip:a@b>, <sip:c@d>"), 400),
    "a star for a Contact": (request(contact="*"), 400),
    "IPv6 with brackets": (
        request("OPTIONS", "sip:[2001:db8::10]", via="SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3"),
        "passed",
    ),
    "a port that may be part of the address": (request("OPTIONS", "sip:[2001:db8::10:5070]"), "passed"),
    "a keep-alive": (b"\r\n\r\n", "dropped"),
    "nothing": (b"", "dropped"),
    "not UTF-8": (request().replace(b"ann", b"\xff\xfe"), "dropped"),
    "a header without a colon": (request(extra=["this is no header"]), "dropped"),
    "a control character in a header": (request(extra=["Subject: a\x07b"]), "dropped"),
    "half of a message": (request()[:60], "dropped"),
    "two hundred headers": (request(extra=[f"x-{n}: y" for n in range(200)]), "dropped"),
    "a line without end": (request(extra=[f"x: {'y' * 9000}"]), "dropped"),
    "a response with two Vias": (
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a, SIP/2.0/UDP b\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
        b"Call-ID: x\r\nCSeq: 5 INVITE\r\n\r\n",
        "dropped",
    ),
    "a response with a status of no kind": (
        b"SIP/2.0 4294967301 better not break\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        b"Call-ID: x\r\nCSeq: 5 INVITE\r\n\r\n",
        "dropped",
    ),
    "UPDATE is known and not allowed": (request("UPDATE"), 405),
    "REFER is refused before anybody dials for it": (request("REFER"), 405),
}

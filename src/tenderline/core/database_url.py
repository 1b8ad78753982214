"""The address of a database as somebody wrote it: whether it can be read, and how to name it without its password."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

_SHAPE: Final = "write it as postgresql://user:password@host:5432/database"
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:,\s]*)(?::(?P<port>.*))?")
PORT_MAX: Final = 65535


def require_readable(url: str) -> None:
    """Raises `ValueError` with what is wrong. It quotes nothing: in a wrong URL the password may stand anywhere."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise ValueError(f"it is not a URL; {_SHAPE}") from None
    if parts.scheme not in ("postgresql", "postgres") or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(f"it is not a PostgreSQL URL; {_SHAPE}")
    if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
        raise ValueError("characters such as @ / ? # in a password are written as %40 %2F %3F %23")
    hosts = [_HOST.fullmatch(one) for one in parts.netloc.rpartition("@")[2].split(",")]
    if not all(hosts):
        raise ValueError(f"its host cannot be read; {_SHAPE}")
    ports = [one["port"] for one in hosts if one and one["port"]]
    ports += [port for given in query.get("port", []) for port in given.split(",") if port]
    if not all(port.isascii() and port.isdigit() and 1 <= int(port) <= PORT_MAX for port in ports):
        raise ValueError(f"its port is not a number from 1 to {PORT_MAX}; {_SHAPE}")


def hosts(url: str) -> tuple[str, ...]:
    """Every host that a readable URL may lead to, before the path and as a parameter; directories of sockets too."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    written = [_HOST.fullmatch(one) for one in parts.netloc.rpartition("@")[2].split(",")]
    found = [unquote(one["host"].strip("[]")) for one in written if one]
    found += [one for given in (*query.get("host", []), *query.get("hostaddr", [])) for one in given.split(",")]
    return tuple(one for one in found if one)


def parameter(url: str, name: str) -> str | None:
    """What stands behind the `?` of a readable URL; the last one counts."""
    given = parse_qs(urlsplit(url).query).get(name)
    return given[-1] if given else None


def place(url: str) -> str:
    """`database 'x' on host:5432`: what an error may say of a URL."""
    try:
        require_readable(url)
    except ValueError:
        return "database of database_url"  # in a wrong one even the host may be a password
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = unquote(parts.netloc.rpartition("@")[2]) or query.get("host", ["this machine"])[-1]
    name = unquote(parts.path.lstrip("/")) or query.get("dbname", query.get("database", [""]))[-1]
    return f"database {name!r} on {host}" if name else f"database on {host}"


def passwords(url: str) -> tuple[str, ...]:
    """What must not be repeated of a URL, as written and as meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    found = {written, unquote(written), *parse_qs(parts.query).get("password", [])}
    return tuple(one for one in found if one)

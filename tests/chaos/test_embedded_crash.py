"""The embedded PostgreSQL when things die: nothing that was acknowledged is lost, and the next start works."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from support.processes import (
    WAIT_S,
    Launcher,
    eventually,
    open_folder,
    postgres_processes,
    postmaster_pid,
    server_child,
    sql,
    state,
)
from tenderline.store import embedded, embedded_host
from tenderline.store.embedded import EmbeddedPostgres

# The stock launcher of the wheel gives up after 10 s, and so does one call of pg_ctl in ours.
LONG_RECOVERY_S = 11.0
MIB_BYTES = 1024 * 1024
# About 150 MB of log to replay: enough time to catch the recovery while it runs.
MANY_ROWS = "CREATE TABLE big AS SELECT g, repeat('x', 600) FROM generate_series(1, 200000) g"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("/tmp") as path:
        yield path


@pytest.fixture
def data_dir(folder: Path) -> Path:
    return folder / "data"


def start_in_background(postgres: EmbeddedPostgres) -> threading.Thread:
    thread = threading.Thread(target=postgres.start)
    thread.start()
    return thread


async def test_a_killed_postmaster_is_back_at_once_with_every_acknowledged_row(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        busy = await asyncpg.connect(postgres.url)
        sleeper = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))
        writer = await asyncpg.connect(postgres.url)
        await writer.execute("CREATE TABLE acked (n int)")
        acknowledged = 0
        for number in range(300):
            await writer.execute("INSERT INTO acked VALUES ($1)", number)
            acknowledged += 1
        killed = postmaster_pid(data_dir)
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(postgres.start)
        reader = await asyncpg.connect(postgres.url)
        assert await reader.fetchval("SELECT count(*) FROM acked") == acknowledged
        await reader.close()
        assert postmaster_pid(data_dir) != killed
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError):
            await sleeper
        busy.terminate()
        writer.terminate()


def test_a_killed_postmaster_that_nobody_has_reaped_does_not_pass_for_a_server(data_dir: Path) -> None:
    # The program becomes the parent of orphans and never reaps: the killed postmaster stays a zombie.
    program = """
import ctypes, os, signal, sys
from pathlib import Path
from support.processes import eventually, postmaster_pid, sql, state
from tenderline.store.embedded import EmbeddedPostgres
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
data_dir = Path(sys.argv[1])
with EmbeddedPostgres(data_dir) as postgres:
    sql(postgres.url, "CREATE TABLE kept AS SELECT 42 AS n")
    killed = postmaster_pid(data_dir)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: state(killed) == "Z", "the killed postmaster is a zombie")
    postgres.start()
    assert postmaster_pid(data_dir) != killed
    print("@answer", sql(postgres.url, "SELECT n FROM kept"), state(killed), flush=True)
print("@stopped", state(killed), flush=True)
"""
    with Launcher(data_dir, program=program) as launcher:
        assert launcher.hear() == "answer 42 Z"
        assert launcher.hear() == "stopped Z"


@pytest.mark.parametrize("who", ["a stranger", "another cluster's server"])
def test_a_stale_pid_that_now_belongs_to_somebody_else_is_seen_through(folder: Path, data_dir: Path, who: str) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        sql(postgres.url, "CREATE TABLE kept AS SELECT 42 AS n")
        files = [postgres.cluster_dir / "postmaster.pid", data_dir / "postgres" / "socket" / ".s.PGSQL.5432.lock"]
        written = {file: file.read_text("ascii") for file in files}
    with EmbeddedPostgres(folder / "other") as other:
        account = embedded_host.server_account()
        # As the server's own user: a process of anybody else PostgreSQL sees through by itself.
        become: dict[str, Any] = (
            {"user": account.uid, "group": account.gid, "extra_groups": []} if account.switch else {}
        )
        with subprocess.Popen(["sleep", "600"], **become) as stranger:
            try:
                pid = stranger.pid if who == "a stranger" else postmaster_pid(folder / "other")
                for file, text in written.items():
                    file.write_text("\n".join([str(pid), *text.splitlines()[1:]]) + "\n", "ascii")
                    os.chown(file, account.uid, account.gid)
                with EmbeddedPostgres(data_dir) as again:
                    assert sql(again.url, "SELECT n FROM kept") == 42
                    assert postmaster_pid(data_dir) != pid
                assert stranger.poll() is None
                assert sql(other.url, "SELECT 1") == 1
            finally:
                stranger.kill()


def test_an_empty_pid_file_left_by_a_power_cut_does_not_stop_the_start(data_dir: Path) -> None:
    EmbeddedPostgres(data_dir).__enter__().stop()
    (data_dir / "postgres" / "cluster" / "postmaster.pid").write_text("")
    with EmbeddedPostgres(data_dir) as postgres:
        assert sql(postgres.url, "SELECT 1") == 1


async def test_a_backend_that_outlives_its_postmaster_is_cleared_away(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LEFTOVERS_GRACE_S", 0.5)
    with EmbeddedPostgres(data_dir) as postgres:
        connection = await asyncpg.connect(postgres.url)
        backend = int(await connection.fetchval("SELECT pg_backend_pid()"))
        os.kill(backend, signal.SIGSTOP)
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        await asyncio.to_thread(postgres.start)
        assert state(backend) in ("", "Z")
        connection.terminate()


async def test_a_backend_that_does_not_listen_cannot_hold_up_the_stop(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir, stop_timeout_s=0.5)
    await asyncio.to_thread(postgres.start)
    connection = await asyncpg.connect(postgres.url)
    os.kill(int(await connection.fetchval("SELECT pg_backend_pid()")), signal.SIGSTOP)
    await asyncio.to_thread(postgres.stop)
    connection.terminate()
    assert postgres_processes(data_dir) == []


def test_of_many_launchers_at_once_one_owns_and_all_get_the_same_server(data_dir: Path) -> None:
    launchers = [Launcher(data_dir) for _ in range(4)]
    try:
        heard = [launcher.hear().split() for launcher in launchers]
        assert sorted(role for role, _ in heard) == ["joined", "joined", "joined", "owner"]
        assert len({url for _, url in heard}) == 1
        assert len([pid for pid in postgres_processes(data_dir) if pid == postmaster_pid(data_dir)]) == 1
        for launcher, (role, url) in zip(launchers, heard, strict=True):
            if role == "joined":
                assert launcher.tell_to_stop() == "stopped"
                assert sql(url, "SELECT 1") == 1
        owner = next(launcher for launcher, (role, _) in zip(launchers, heard, strict=True) if role == "owner")
        assert owner.tell_to_stop() == "stopped"
        assert postgres_processes(data_dir) == []
    finally:
        for launcher in launchers:
            launcher.__exit__()


def test_a_dead_owners_server_goes_on_until_the_next_owner_stops_it(data_dir: Path) -> None:
    with Launcher(data_dir) as owner, Launcher(data_dir) as joiner:
        # Whichever was first; the other one joined it.
        roles = {launcher.hear().split()[0]: launcher for launcher in (owner, joiner)}
        survivor = postmaster_pid(data_dir)
        roles["owner"].kill()
        with EmbeddedPostgres(data_dir) as next_owner:
            assert next_owner.is_owner
            assert postmaster_pid(data_dir) == survivor
            assert sql(next_owner.url, "SELECT 1") == 1
            assert roles["joined"].tell_to_stop() == "stopped"
            assert sql(next_owner.url, "SELECT 1") == 1
        assert postgres_processes(data_dir) == []


def test_a_launcher_killed_while_it_makes_the_cluster_leaves_no_half_cluster(data_dir: Path) -> None:
    with Launcher(data_dir) as launcher:
        eventually(lambda: list(data_dir.glob("postgres/cluster.new-*/base")), "initdb is at work")
        launcher.kill()
        assert not (data_dir / "postgres" / "cluster").exists()
        with EmbeddedPostgres(data_dir) as postgres:
            assert sql(postgres.url, "SELECT 1") == 1


def test_a_start_waits_for_a_recovery_of_more_than_ten_seconds(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        sql(postgres.url, MANY_ROWS)
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        starter = start_in_background(postgres)
        recovery = eventually(lambda: server_child(data_dir, "startup"), "it recovers")
        os.kill(recovery, signal.SIGSTOP)
        try:
            eventually(lambda: state(recovery) == "T", "the recovery stands still")
            held_until = time.monotonic() + LONG_RECOVERY_S
            while time.monotonic() < held_until:
                assert state(recovery) == "T"
                assert starter.is_alive()
                time.sleep(0.2)
            with pytest.raises(asyncpg.CannotConnectNowError):
                sql(postgres.url, "SELECT 1")
        finally:
            os.kill(recovery, signal.SIGCONT)
        starter.join(WAIT_S)
        assert not starter.is_alive()
        assert sql(postgres.url, "SELECT count(*) FROM big") == 200_000


def test_a_server_that_recovers_for_a_dead_launcher_is_waited_for_and_adopted(data_dir: Path) -> None:
    with Launcher(data_dir) as first:
        sql(first.hear().split()[1], MANY_ROWS)
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        first.kill()
    with Launcher(data_dir) as second:
        recovery = eventually(lambda: server_child(data_dir, "startup"), "it recovers")
        os.kill(recovery, signal.SIGSTOP)
        second.kill()
    postgres = EmbeddedPostgres(data_dir)
    starter = start_in_background(postgres)
    try:
        eventually(lambda: "starting up" in postgres._last_answer or "not yet" in postgres._last_answer, "it waits")
    finally:
        os.kill(recovery, signal.SIGCONT)
    starter.join(WAIT_S)
    try:
        assert postgres.is_owner
        assert sql(postgres.url, "SELECT count(*) FROM big") == 200_000
    finally:
        postgres.stop()
    assert postgres_processes(data_dir) == []


@contextmanager
def small_disk(size_mb: int) -> Iterator[tuple[tuple[str, ...], Path]]:
    """A command prefix, and a folder that under this prefix is on a disk of that size (or a little smaller).

    A file system in a mount namespace, which ends with the command. Where that is not permitted, as in a container,
    the container's own small /dev/shm, filled until so much is left.
    """
    mount = f'mount -t tmpfs -o size={size_mb}m,mode=0755 tmpfs "$0" && exec "$@"'
    as_user = ("unshare", "--user", "--mount", "--map-current-user", "--keep-caps")
    unshare = ("unshare", "--mount") if os.geteuid() == 0 else as_user
    with open_folder("/tmp") as place:
        prefix = (*unshare, "/bin/sh", "-c", mount, str(place))
        probe = subprocess.run([*prefix, "true"], capture_output=True, encoding="utf-8", check=False)
        if probe.returncode == 0:
            yield prefix, place
            return
    shared = os.statvfs("/dev/shm")
    excess_bytes = shared.f_bavail * shared.f_frsize - size_mb * MIB_BYTES
    found = excess_bytes < 1024 * MIB_BYTES
    assert found, f"found no disk to fill: run as root, or allow user namespaces ({probe.stderr})"
    with open_folder("/dev/shm") as place:
        if excess_bytes > 0:
            with (place / "excess").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, excess_bytes)
        yield (), place


def test_a_disk_too_full_for_a_new_cluster_is_named() -> None:
    with small_disk(20) as (prefix, folder), Launcher(folder / "data", prefix=prefix) as launcher:
        heard = launcher.hear()
    assert heard.startswith("error embedded_database.disk_full ")
    assert f"The disk that holds {folder / 'data' / 'postgres'} is full; free some space" in heard


def test_a_full_disk_is_named_and_the_start_works_again_once_there_is_room() -> None:
    program = """
import sys
from pathlib import Path
from support.processes import sql
from tenderline.store.embedded import DiskFullError, EmbeddedPostgres
data_dir = Path(sys.argv[1])
with EmbeddedPostgres(data_dir) as postgres:
    sql(postgres.url, "CREATE TABLE kept AS SELECT 42 AS n")
filler = data_dir / "filler"
with filler.open("wb", buffering=0) as file:
    for size in (1 << 20, 1):
        try:
            while file.write(bytes(size)):
                pass
        except OSError as error:
            assert error.errno == 28, error
try:
    EmbeddedPostgres(data_dir).start()
except DiskFullError as error:
    print("@full", error, flush=True)
filler.unlink()
with EmbeddedPostgres(data_dir) as postgres:
    print("@answer", sql(postgres.url, "SELECT n FROM kept"), flush=True)
"""
    with small_disk(160) as (prefix, folder), Launcher(folder / "data", prefix=prefix, program=program) as launcher:
        assert f"The disk that holds {folder / 'data' / 'postgres'} is full; free some space" in launcher.hear()
        assert launcher.hear() == "answer 42"

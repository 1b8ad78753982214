"""The audit chain shows every kind of tampering, also by somebody who may write the database."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenderline.store import audit


async def fill(pool, count=10):
    for number in range(count):
        async with pool.acquire() as connection, connection.transaction():
            await audit.append(
                connection, actor="test", action="step", subject=f"thing:{number}", data={"n": number, "ü": ["x", None]}
            )


async def tamper(pool, sql, *values):
    """As somebody who has taken the triggers away."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        await connection.execute(sql, *values)
        await connection.execute("ALTER TABLE audit ENABLE TRIGGER ALL")


async def verdict(pool, heads=(), key=None):
    return await audit.verify(pool, list(heads), key)


async def test_a_chain_that_nobody_touched_verifies(pool, tmp_path):
    await fill(pool)
    key = audit.load_or_make_key(tmp_path / "key.pem")
    head = await audit.sign_head(pool, key, tmp_path / "heads.jsonl")
    assert head is not None
    found = await verdict(pool, audit.read_heads(tmp_path / "heads.jsonl"), audit.load_public_key(tmp_path / "key.pem"))
    assert (found.bad_number, found.rows) == (None, 10)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


async def test_appends_at_the_same_time_make_one_chain(pool):
    await asyncio.gather(*(fill(pool, 5) for _ in range(8)))
    found = await verdict(pool)
    assert (found.bad_number, found.rows) == (None, 40)


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE number = 4", 4),
        ("UPDATE audit SET data = '{\"n\": 99}' WHERE number = 7", 7),
        ("UPDATE audit SET at = at - interval '1 day' WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number > 8", 9),
        ("UPDATE audit SET number = CASE number WHEN 3 THEN 1004 ELSE 1003 END WHERE number IN (3, 4)", 3),
    ],
)
async def test_the_first_bad_row_is_named(pool, sql, bad):
    await fill(pool)
    await tamper(pool, sql)
    assert (await verdict(pool)).bad_number == bad


async def test_a_tail_cut_off_with_its_head_put_right_is_shown_by_the_signed_head(pool, tmp_path):
    await fill(pool)
    key = Ed25519PrivateKey.generate()
    await audit.sign_head(pool, key, tmp_path / "heads.jsonl")
    await tamper(pool, "DELETE FROM audit WHERE number > 6")
    await pool.execute("UPDATE audit_head SET (number, hash) = (SELECT number, hash FROM audit WHERE number = 6)")
    assert (await verdict(pool)).bad_number is None, "the chain alone cannot know"
    found = await verdict(pool, audit.read_heads(tmp_path / "heads.jsonl"), key.public_key())
    assert found.bad_number == 7


async def test_a_chain_rewritten_from_the_middle_is_shown_by_the_signed_head(pool, tmp_path):
    await fill(pool)
    key = Ed25519PrivateKey.generate()
    await audit.sign_head(pool, key, tmp_path / "heads.jsonl")
    await tamper(pool, "DELETE FROM audit WHERE number > 3")
    await pool.execute("UPDATE audit_head SET (number, hash) = (SELECT number, hash FROM audit WHERE number = 3)")
    await fill(pool, 7)
    assert (await verdict(pool)).bad_number is None
    found = await verdict(pool, audit.read_heads(tmp_path / "heads.jsonl"), key.public_key())
    assert found.bad_number == 10


async def test_a_head_signed_with_another_key_is_not_believed(pool, tmp_path):
    await fill(pool)
    await audit.sign_head(pool, Ed25519PrivateKey.generate(), tmp_path / "heads.jsonl")
    found = await verdict(pool, audit.read_heads(tmp_path / "heads.jsonl"), Ed25519PrivateKey.generate().public_key())
    assert found.bad_number is not None
    assert "signature" in found.why


async def test_the_database_refuses_changes_to_the_log(pool):
    await fill(pool, 1)
    for sql in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(Exception, match="new rows only"):
            await pool.execute(sql)

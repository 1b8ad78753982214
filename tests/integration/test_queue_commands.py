"""`tenderline queue` and `tenderline agent`, as somebody types them."""

from __future__ import annotations

import json

from support import command, lines_up

WIDE = "30:drop=Legacy_Gifts,join=general"


async def run(url, folder, *words):
    return await command.run(*words, environment={"TENDERLINE_DATABASE_URL": url, "TENDERLINE_DATA_DIR": str(folder)})


async def test_queues_are_set_and_agents_assigned_by_command(database_url, pool, tmp_path):
    async with pool.acquire() as connection:
        await lines_up.make_agent(connection, "anna", ["general"])
    for words in (
        ("queue", "skill", "Legacy_Gifts"),
        (
            "queue",
            "set",
            "Major",
            "--tier",
            "High=5",
            "--ring",
            "0:min=3",
            "--ring",
            "30:drop=Legacy_Gifts,join=general",
        ),
        ("agent", "assign", "anna", "--queue", "Major", "--skill", "Legacy_Gifts=4"),
        ("agent", "state", "anna", "away"),
    ):
        code, _, error = await run(database_url, tmp_path, *words)
        assert code == 0, error
    code, out, _ = await run(database_url, tmp_path, "queue", "list", "--json")
    major = next(one for one in json.loads(out) if one["name"] == "Major")
    assert major["rings"][1] == {
        "afterS": 30.0, "proficiencyMin": 1, "skillsDropped": ["Legacy_Gifts"], "queuesJoined": ["general"],
    }  # fmt: skip
    code, out, _ = await run(database_url, tmp_path, "agent", "list")
    assert "Legacy_Gifts:4" in out
    assert "away" in out
    code, _, error = await run(database_url, tmp_path, "queue", "remove", "Major")
    assert code != 0
    assert "1 agents serve it" in error
    code, _, error = await run(database_url, tmp_path, "queue", "set", "Odd", "--ring", "5:max=3")
    assert "none of min=1" in " ".join(error.split())

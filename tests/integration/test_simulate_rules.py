"""`tenderline simulate --operator-rules` plays the rules as operators changed them; else those that are shipped."""

from __future__ import annotations

import json

from support import command

ROW = """[[rule]]
id = "HOUSE-NOBODY"
kind = "hours"
why = "we write on Wednesdays at noon"
source = "house rule"
confidence = "high"
effective_from = 2026-01-01
hours = [{ days = "wed", opens = 12:00:00, closes = 13:00:00 }]
"""


async def test_a_rehearsal_plays_the_rules_of_operators_when_it_is_asked_to(database_url, tmp_path):
    tmp_path.chmod(0o755)
    environment = command.environment_of(database_url, tmp_path)
    (tmp_path / "house.toml").write_text(ROW)
    house = str(tmp_path / "house.toml")
    code, _, err = await command.run("gate", "set", house, "--why", "a test", environment=environment)
    assert code == 0, err

    async def play(*words):
        said = ("simulate", "--sample", "60", "--days", "14", "--start", "2026-11-20T17:00:00Z", "--workers", "1")
        code, out, err = await command.run(*said, "--json", *words, environment=environment)
        assert code == 0, err
        return json.loads(out)

    shipped, changed = await play(), await play("--operator-rules")
    assert changed["ruleset"] == f"{shipped['ruleset']}+1"
    assert "HOUSE-NOBODY" not in shipped["held_by"]
    assert changed["held_by"]["HOUSE-NOBODY"] > 0
    assert {one.split()[-1] for one in changed["by_local_hour"]} <= {"12"}
    assert len({one.split()[-1] for one in shipped["by_local_hour"]}) > 3

"""Ids sort by the time they were made, also within one millisecond."""

import time

from tenderline.core.ids import made_at, uuid7


def test_ids_made_one_after_the_other_sort_that_way():
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_is_of_version_seven_and_tells_its_millisecond():
    before_ms = time.time_ns() // 1_000_000
    one = uuid7()
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    assert 0 <= (one.int >> 80) - before_ms < 60_000
    assert 0 <= made_at(one).timestamp() - before_ms / 1000 < 60

"""Two ways are timed in turn, and neither always comes first."""

from __future__ import annotations

from benchmarks.turns import in_turn


def test_every_second_repeat_begins_with_the_other() -> None:
    calls: list[str] = []

    def called(name: str) -> int:
        calls.append(name)
        return len(calls)

    pairs = in_turn(lambda: called("ours"), lambda: called("other"), 3)
    assert calls == ["ours", "other", "other", "ours", "ours", "other"]
    assert pairs == [(1, 2), (4, 3), (5, 6)]

"""What a progress bar says is shown as it is."""

from __future__ import annotations

import pytest

from src.progress import tracked, working


def test_brackets_are_not_taken_for_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    assert list(tracked([1, 2], "reading [/x] of [red]")) == [1, 2]
    assert "reading [/x] of [red]" in capsys.readouterr().err
    with working("reading [/x] of [red]"):
        pass
    assert "reading [/x] of [red]" in capsys.readouterr().err

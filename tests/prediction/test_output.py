"""What is printed reads back as it was, whatever files and subjects are called."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TextIO

import pytest

from src.prediction.output import Csv, Json, Rows, Tables, Writer
from src.prediction.stream import Prediction

NAMES = (
    *("plain", 'quo"te', "com,ma", "new\nline", "\x1b[2Jred", "[bold]x[/bold]", "=1+1", "名前"),
    *("half \udcff", "tab\tand\\", " space ", "'"),
)
ANSWERS = tuple(
    Prediction(
        f"{name}.jpg", ((name, 0.75), ("ann", 0.25)), index % 2 == 0, (name,) if index % 3 else ()
    )
    for index, name in enumerate(NAMES)
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(writer: Writer) -> str:
    for start in range(0, len(ANSWERS), 5):
        writer.write(ANSWERS[start : start + 5])
    writer.close()
    assert isinstance(writer.out, io.StringIO)
    return writer.out.getvalue()


def test_json_reads_back_with_a_photo_on_each_line() -> None:
    text = written(Json(io.StringIO()))
    text.encode()
    assert len(text.splitlines()) == len(ANSWERS) + 2
    for given, read in zip(ANSWERS, json.loads(text), strict=True):
        assert (read["photo"], read["unknown"]) == (given.photo, given.unknown)
        assert read["name"] == ("unknown" if given.unknown else given.subjects[0][0])
        assert tuple(read["candidates"]) == given.candidates
        shares = tuple((each["subject"], each["probability"]) for each in read["subjects"])
        assert shares == given.subjects


def test_json_that_ends_early_is_whole() -> None:
    writer = Json(out := io.StringIO())
    writer.write(ANSWERS[:2])
    writer.close()
    assert len(json.loads(out.getvalue())) == 2


def test_csv_reads_back_but_for_what_utf_8_lacks() -> None:
    text = written(Csv(io.StringIO(), 2))
    text.encode()
    rows = [*csv.DictReader(io.StringIO(text, newline=""))]
    for given, row in zip(ANSWERS, rows, strict=True):
        plain = given.photo.replace("\udcff", r"\udcff")
        assert row["photo"] == plain and row["subject_1"] == plain.removesuffix(".jpg")
        assert (row["unknown"], row["probability_2"]) == (str(given.unknown).lower(), "0.250000")
        assert tuple(json.loads(row["candidates"])) == given.candidates
        assert None not in row and None not in row.values()


@pytest.mark.parametrize("writer", [Rows(Terminal(), NAMES, True), Csv(Terminal(), 2)])
def test_a_terminal_gets_no_control_characters(writer: Writer) -> None:
    text = written(writer)
    assert "\x1b" not in text and r"\x1b[2Jred" in text
    assert len(text.splitlines()) == len(ANSWERS) + 1


def test_rows_have_columns() -> None:
    lines = written(Rows(io.StringIO(), ("ann",), False)).splitlines()
    assert lines[0].split() == ["photo", "name", "probability"]
    assert "candidates" not in lines[0] and "[bold]x[/bold].jpg" in lines[6]
    assert {line.split()[-1] for line in lines[1:]} == {"75.0%"}
    text = written(Rows(io.StringIO(), (*NAMES, "ann"), True))
    assert text.splitlines()[1].split() == ["plain.jpg", "unknown", "75.0%", "none"]


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
@pytest.mark.parametrize(
    "writer", [Tables, lambda out: Rows(out, NAMES, True)], ids=["table", "rows"]
)
def test_what_an_encoding_lacks_is_escaped(
    writer: Callable[[TextIO], Writer], encoding: str
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    writer(out).write(ANSWERS)
    assert isinstance(out.buffer, io.BytesIO)
    text = out.buffer.getvalue()
    assert rb"\u540d\u524d.jpg" in text and b"75.0%" in text


def test_a_table_leaves_the_path_and_what_is_said_of_it_on_one_line() -> None:
    path, names = "photos/of/a/holiday/long/ago/0001.jpg", ("ann", "bob", "eve")
    answer = Prediction(path, (("ann", 0.5), ("bob", 0.3)), True, names)
    out = io.StringIO()
    Tables(out).write([answer])
    lines = out.getvalue().splitlines()
    assert lines[0] == f"{path}: unknown" and lines[-1] == "candidates: ann, bob, eve"


def test_a_table_shows_the_whole_of_a_subjects_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "".join(map(str, range(60)))
    writer = Tables(io.StringIO())
    writer.write([Prediction("a.jpg", ((name, 0.75), ("ann", 0.25)), False, None)])
    assert isinstance(writer.out, io.StringIO)
    cells = [
        line.split("│")[1].strip() for line in writer.out.getvalue().splitlines() if "│" in line
    ]
    assert "".join(cells) == f"{name}ann"

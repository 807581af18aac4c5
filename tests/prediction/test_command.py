"""Photos in, names out: from a file, from the champion, and one line for bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.closure import ROOT
from src.config import PARAMS
from src.errors import TrackingError, UserError
from src.files import digest
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.predict import main
from src.tracking.champion import champion_of
from src.tracking.registry import promote
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project


def test_a_model_file_names_each_photo(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--model", str(project.model), "--json", *photos])
    answers = json.loads(capsys.readouterr().out)
    assert [answer["photo"] for answer in answers] == photos
    classifier = Classifier.load(project.model)
    image = torch.from_numpy(np.array(Image.open("exact.png"))).permute(2, 0, 1)[None]
    expected = classifier.probabilities(image)[0].tolist()
    given = {row["subject"]: row["probability"] for row in answers[0]["subjects"]}
    assert given == pytest.approx(dict(zip(classifier.subjects, expected, strict=True)), abs=1e-4)
    assert list(given.values()) == sorted(given.values(), reverse=True)


def test_photos_become_square_as_the_training_images_did(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    state, spec = load_state(project.model)
    save_network(Path("stretched.safetensors"), state, replace(spec, fit="stretch"))
    main(["--model", "stretched.safetensors", "--json", "wide.png"])
    (answer,) = json.loads(capsys.readouterr().out)
    classifier = Classifier.load(project.model)
    size = (classifier.image_size, classifier.image_size)
    pixels = np.array(Image.open("wide.png").resize(size, Image.Resampling.BICUBIC))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = classifier.probabilities(image)[0].tolist()
    given = {row["subject"]: row["probability"] for row in answer["subjects"]}
    assert given == pytest.approx(dict(zip(classifier.subjects, expected, strict=True)), abs=1e-4)


def test_the_champion_answers_by_default(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    assert digest(champion_of(MODEL).path) == digest(project.model)
    main(["--top", "2", photos[0]])
    printed = capsys.readouterr()
    assert "exact.png" in printed.out
    assert printed.out.count("%") == 2
    assert printed.err == f"answered by models:/{MODEL}/1 (ModelA on data/synthetic.yaml)\n"


def test_a_version_or_an_alias_of_any_registered_model_answers_and_is_named(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    promote(project.record, 0.5, "mine")
    for address in ("models:/mine/1", "models:/mine@champion"):
        main(["--model", address, photos[0]])
        assert "answered by models:/mine/1 (ModelA on data/" in capsys.readouterr().err
    for address, what in (
        ("models:/mine/2", "no such version"),
        ("models:/mine@nobody", "no such version"),
        ("models:/mine", "not the address of a registered model"),
        ("models:/a/b/c", "not the address of a registered model"),
    ):
        with pytest.raises(TrackingError, match=f"^{address}: {what}"):
            main(["--model", address, photos[0]])


def test_the_champion_is_the_one_that_params_name_and_found_from_a_folder_within(
    project: Project,
    photos: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finish_run(project)
    promote(project.record, 0.5, "mine")
    params = PARAMS.read_text()
    PARAMS.write_text(params.replace(f"model: {MODEL}", "model: mine"))
    Path("within").mkdir()
    monkeypatch.chdir("within")
    main([f"../{photos[0]}"])
    assert "answered by models:/mine/1 " in capsys.readouterr().err


def test_the_champion_answers_from_a_disk_that_is_only_read(
    project: Project, photos: list[str]
) -> None:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-m", "true"], check=False).returncode:
        pytest.skip("only root of Linux can have a disk of its own that is only read")
    bind = 'mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD" && cd "$PWD"'
    script = f'{bind} && ! touch new 2>/dev/null && exec "$0" -m src.predict "$@"'
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", script, sys.executable, *photos],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(photo in done.stdout for photo in photos)


@pytest.mark.parametrize("with_params", [True, False])
def test_elsewhere_one_line_says_so_and_no_store_is_made(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_params: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if with_params:
        shutil.copy(PARAMS, elsewhere)
    before = sorted(elsewhere.iterdir())
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UserError, match="run from the project's folder"):
        main(["photo.jpg"])
    assert sorted(elsewhere.iterdir()) == before


def test_names_and_paths_are_shown_as_they_are(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    state, spec = load_state(project.model)
    names = ("[guest]", "[red]ann[/red]", "[/x]:smile:")
    save_network(Path("named.safetensors"), state, replace(spec, subjects=names))
    Path(photos[0]).rename("a[b].png")
    main(["--model", "named.safetensors", "a[b].png"])
    printed = capsys.readouterr().out
    for name in (*names, "a[b].png"):
        assert name in printed


def test_control_characters_in_names_and_paths_are_escaped(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    state, spec = load_state(project.model)
    names = ("\x1b[2Jann", *spec.subjects[1:])
    save_network(Path("named.safetensors"), state, replace(spec, subjects=names))
    Path(photos[0]).rename("a\x1b[1m.png")
    main(["--model", "named.safetensors", "a\x1b[1m.png"])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"\x1b[2Jann" in printed and r"a\x1b[1m.png" in printed


def test_a_name_that_the_streams_encoding_lacks_is_escaped_in_the_table(
    project: Project, photos: list[str]
) -> None:
    state, spec = load_state(project.model)
    save_network(Path("named.safetensors"), state, replace(spec, subjects=("名前", "bob", "eve")))
    done = subprocess.run(
        [sys.executable, "-m", "src.predict", "--model", "named.safetensors", photos[0]],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u540d\u524d" in done.stdout and done.stdout.isascii()


def test_without_a_champion_the_error_names_the_mend(project: Project, photos: list[str]) -> None:
    with pytest.raises(TrackingError, match=r"^models:/face-classifier@champion: no champion yet"):
        main(photos)


@pytest.mark.parametrize(("content", "what"), [(None, "no such file"), (b"x", "not an image")])
def test_a_bad_photo_is_named_and_the_others_are_answered(
    project: Project,
    photos: list[str],
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    what: str,
) -> None:
    if content:
        Path("bad.jpg").write_bytes(content)
    assert main(["--json", "--model", str(project.model), "bad.jpg", *photos]) == 1
    printed = capsys.readouterr()
    assert [each["photo"] for each in json.loads(printed.out)] == photos
    assert printed.err.startswith(f"error: bad.jpg: {what}") and printed.err.count("\n") == 1


@pytest.mark.parametrize("form", ["--json", "--csv", "--top=1"])
def test_without_any_answer_the_exit_code_is_two(
    project: Project, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    Path("empty").mkdir()
    Path("bad.jpg").touch()
    assert main([form, "--model", str(project.model), "bad.jpg", "none.jpg", "empty"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == printed.err.count("error: ") == 3


def test_a_named_pipe_is_refused_at_once(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.jpg")
    assert main(["--model", str(project.model), "pipe.jpg"]) == 2
    assert "error: pipe.jpg: not a regular file" in capsys.readouterr().err


def test_the_command_exits_with_two_and_one_line(project: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "src.predict", "--model", "none.safetensors", "none.jpg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: none.safetensors: ")
    assert done.stderr.count("\n") == 1


def test_answers_are_written_before_the_list_of_photos_ends(
    project: Project, photos: list[str]
) -> None:
    command = [sys.executable, "-m", "src.predict", "--json", "--model", str(project.model), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        names = "".join(f"{photo}\n" for photo in photos * 60)
        process.stdin.write(names.encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"[\n"  # while stdin is still open
        process.stdin.write(b"exact.png")
        process.stdin.close()
        rest = process.stdout.read()
    assert process.returncode == 0
    assert len(json.loads(b"[" + rest)) == 121

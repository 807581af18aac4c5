"""The page stands alone, says what the files say, and treats every name as data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.report import main
from src import paths
from src.config import PARAMS, load_params
from src.evaluation.predictions import Predictions
from src.evaluation.strangers import measure, set_threshold
from src.evaluation.strangers_figure import strangers_figure
from src.files import write_csv, write_json
from src.plotting import save_png
from src.report import formats
from src.report.cost import training_flops
from tests import fabricate


class Page(HTMLParser):
    """Addresses, alternative texts and open elements of a page."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [str(found[key]) for key in ("src", "href", "srcset") if key in found]
        if tag == "img":
            self.alts.append(str(found.get("alt", "")))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fabricated project with its report."""
    root = tmp_path_factory.mktemp("report")
    fabricate.write_project(root, fabricate.faces())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        main([])
    return root


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return (root / paths.REPORT_PAGE).read_text()


def test_the_page_needs_nothing_but_itself(html: str) -> None:
    page = Page(html)
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"https?:", html)


def test_the_page_is_well_formed_and_every_image_has_alternative_text(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert all(page.alts)
    assert any("Test accuracy with 95% intervals: Baseline" in alt for alt in page.alts)


def test_names_are_data_and_never_markup(html: str, root: Path) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "train/&lt;b&gt;a.jpg" in html
    assert "<script" not in (root / paths.REPORT_TEXT).read_text()


def test_figures_are_those_of_the_files(html: str, root: Path) -> None:
    text = (root / paths.REPORT_TEXT).read_text()
    for name, figures in json.loads((root / paths.TEST_METRICS).read_text()).items():
        row = next(line for line in text.splitlines() if re.match(rf"\| (\*\*)?{name}", line))
        assert f"{figures['accuracy']:.1%}" in row
        assert f"{figures['macro_f1']:.3f}" in row
        assert f"<b>{figures['accuracy']:.1%}</b>" in html
    assert "| 61.9% |" in next(line for line in text.splitlines() if "Baseline | head" in line)
    assert "0123456789ab with uncommitted changes" in html


def test_every_row_of_the_text_has_as_many_cells_as_the_header(root: Path) -> None:
    table = [
        line for line in (root / paths.REPORT_TEXT).read_text().splitlines() if line[:1] == "|"
    ]
    assert len(table) == 2 + len(fabricate.EXPERIMENTS)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_top_five_is_shown_only_where_more_than_five_could_be_named(
    html: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "top-5" not in html + (root / paths.REPORT_TEXT).read_text()
    monkeypatch.chdir(tmp_path)
    fabricate.write_project(tmp_path, fabricate.faces(tuple("abcdef"), test=4))
    main([])
    lines = paths.REPORT_TEXT.read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert "top-5" in table[0]
    assert len({line.count("|") for line in table}) == 1
    page = paths.REPORT_PAGE.read_text()
    assert page.count('<th scope="col" class="n">top-5</th>') == 1
    assert Page(page).tags.count("td") == 15 * len(fabricate.EXPERIMENTS)


def test_strangers_have_a_section_where_there_were_some(
    html: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'id="strangers"' not in html and "give a stranger one of their names" in html
    monkeypatch.chdir(tmp_path)
    fabricate.write_project(tmp_path, fabricate.faces())
    halves = fabricate.halves()
    threshold = set_threshold(halves.setting, halves.means, far=0.01, model="", experiment="ModelA")
    found = measure(halves, threshold)
    write_json(paths.UNKNOWN_METRICS, found)
    save_png(strangers_figure(halves.measuring, threshold), paths.strangers_figure("ModelA"))
    main([])
    page, text = paths.REPORT_PAGE.read_text(), paths.REPORT_TEXT.read_text()
    assert 'id="strangers"' in page and Page(page).open == []
    own = found["scores"]["distance"]
    for said in (
        f"it accepts {own['far']:.1%}",
        f"answers “unknown” to {own['frr']:.1%}",
        "promise no less than",
    ):
        assert said in page and said in text
    write_json(paths.UNKNOWN_METRICS, {"experiment": "ModelA", "strangers": {}})
    main([])
    assert 'id="strangers"' not in paths.REPORT_PAGE.read_text()


def test_rows_are_said_to_train_by_their_own_recipes(
    html: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common, other = "recipe", "reference"
    assert html.count(f"<dt>{common}") == 1
    monkeypatch.chdir(tmp_path)
    own = fabricate.EXPERIMENTS["ModelA"].model_copy(update={"recipe": other})
    fabricate.write_project(
        tmp_path, fabricate.faces(), fabricate.EXPERIMENTS | {"ModelA": own, "ModelC": own}
    )
    main([])
    text = paths.REPORT_TEXT.read_text()
    said = next(line for line in text.splitlines() if "recipe of ModelA and ModelC" in line)
    assert f"{other}: optimizer adam" in said.replace("\\", "")
    assert "recipe of Baseline and ModelD-256-128-dropout" in text.replace("\\", "")


@pytest.mark.parametrize("seeds", [1, 3])
def test_alternative_texts_say_what_the_charts_show(
    seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces(), seeds=seeds)
    monkeypatch.chdir(tmp_path)
    main([])
    alts = Page(paths.REPORT_PAGE.read_text()).alts
    (confusions,) = [alt for alt in alts if alt.startswith("Confusion matrices")]
    (curves,) = [alt for alt in alts if "accuracy by epoch" in alt]
    predictions = Predictions.load(paths.PREDICTIONS)
    for name in fabricate.EXPERIMENTS:
        answers = predictions.logits[name][0].argmax(1)
        assert f"{name} {(answers != predictions.labels).sum()}" in confusions
        best = json.loads(paths.train_metrics(name).read_text())["best_epoch"]
        rows = paths.curves(name).read_text().splitlines()
        place = rows[0].split(",").index("val_accuracy")
        accuracy = float(rows[best].split(",")[place])
        assert f"{name} keeps epoch {best} of {len(rows) - 1} at {accuracy:.1%}" in curves


def test_charts_follow_the_readers_light_or_dark_setting(root: Path) -> None:
    import base64

    page = Page((root / paths.REPORT_PAGE).read_text())
    drawn = [a.split(",")[1] for a in page.addresses if a.startswith("data:image/svg+xml")]
    assert len(drawn) == 6
    for content in drawn:
        svg = base64.b64decode(content).decode()
        assert "prefers-color-scheme:dark" in svg
        assert "#1c2128" not in svg.split("</style>")[1]


def test_the_same_files_give_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    main([])
    made = sorted(path.relative_to(root) for path in (root / "reports").rglob("*.*"))
    assert len(made) == 11
    for path in (*made, paths.LEARNING):
        assert (tmp_path / path).read_bytes() == (root / path).read_bytes(), path


def test_curves_of_all_experiments_are_in_one_file(root: Path) -> None:
    rows = (root / paths.LEARNING).read_text().splitlines()
    epochs = sum(experiment.epochs for experiment in fabricate.EXPERIMENTS.values())
    assert rows[0] == "experiment,images,epoch,progress,accuracy"
    assert len(rows) == 1 + 2 * epochs


@pytest.mark.parametrize("names", [("Baseline", "ModelC"), ("Baseline",)])
def test_a_reference_that_moves_no_weight_is_left_out_of_the_chart_of_weights(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = {name: fabricate.EXPERIMENTS[name] for name in names}
    accuracy = {name: fabricate.ACCURACY[name] for name in names}
    fabricate.write_project(tmp_path, fabricate.faces(), experiments, accuracy)
    still = [("conv1.weight", 0.0), ("fc.weight", 0.0), ("fc.bias", 0.0)]
    write_csv(tmp_path / paths.weight_change("Baseline"), ("parameter", "l2_change"), still)
    monkeypatch.chdir(tmp_path)
    main([])
    alts = Page(paths.REPORT_PAGE.read_text()).alts
    (moved,) = [alt for alt in alts if "weight change" in alt]
    assert "Baseline" not in moved
    assert ("ModelC most in head" in moved) == ("ModelC" in names)
    assert paths.chart("weight_change").read_bytes().startswith(b"\x89PNG")


def test_the_page_says_who_read_the_test_images_and_how_many_seeds_there_are(
    html: str, root: Path
) -> None:
    for text in (html, (root / paths.REPORT_TEXT).read_text()):
        assert "by the evaluate stage alone" in text and "read once" not in text
        assert "single networks are compared, of one seed each, by the exact McNemar test" in text


def test_every_link_of_the_contents_leads_to_a_section(html: str) -> None:
    links = re.findall(r'href="#(\w+)"', html)
    assert links == re.findall(r'<h2 id="(\w+)"', html)
    assert "next" in links


def test_accuracy_comes_right_after_the_name_so_that_a_phone_shows_it(html: str) -> None:
    row = html.split('<th scope="row">ModelA')[1].split("</tr>", maxsplit=1)[0]
    assert re.search(r"<td[^>]*>(.*?)</td>", row)[1].startswith("<b>")  # type: ignore[index]


def test_a_row_that_was_stopped_while_it_learned_says_so(html: str, root: Path) -> None:
    """ModelA names all training images by its last epoch, and ModelD hardly rises any more."""
    note = "still improving at its last epoch: give it more epochs"
    rows = re.findall(r'<th scope="row">([\w-]+)(.*?)</th>', html, re.DOTALL)
    noted = {name for name, more in rows if note in more}
    assert noted == {"Baseline", "ModelC"}


def test_the_cost_of_each_row_stands_beside_its_time(html: str, root: Path) -> None:
    params = load_params(root / PARAMS)
    epochs = {name: each.epochs for name, each in fabricate.EXPERIMENTS.items()}
    text = (root / paths.REPORT_TEXT).read_text()
    header, _, *rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    place = header.index("cost, FLOPs")
    assert header[place - 1] == "time"
    found = training_flops(params, fabricate.faces(), epochs)
    assert [row[place] for row in rows] == [formats.flops(each) for each in found.values()]
    for page in (html, text):
        assert "products and sums of layers, as they are defined, in training one seed" in page
    for each in found.values():
        assert f'<td class="n">{formats.flops(each)}</td>' in html


def test_the_chart_of_weights_is_said_to_begin_where_each_row_did(html: str) -> None:
    (caption,) = re.findall(r"<figcaption>(How far[^.]*\.)", html)
    assert "pretrained weights, or random ones where a row trains from scratch" in caption

"""`python -m benchmarks.screenshots`: the images of pages that README and docs/ show.

Only of rendered faces: a screenshot of a report or of the demo shows the faces themselves.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from src import paths
from src.cli import parser, run
from src.config import load_params
from src.config.yaml_file import read_yaml
from src.errors import OriginError, UserError
from src.files import atomic, digest
from src.labels.packed import check_origin

LARGEST = 200_000  # bytes of a file
# MLflow opens a panel for questions to a language model beside every page.
PANEL = "button[data-component-id='mlflow.assistant.chat_panel.close']"
LOADED = "document.readyState === 'complete'"
ROWS = "document.querySelectorAll('.ag-center-cols-container [role=row]').length > 0"
DRAWN = "document.querySelectorAll('.js-plotly-plot:has(.trace)').length >= 4"
ANSWERED = "document.querySelectorAll('#nearest > li').length > 0"
EXAMPLES = (
    "  make ui & python -m benchmarks.screenshots\n  python -m benchmarks.screenshots --port 5003"
)


@dataclass(frozen=True)
class Page:
    """A page, the name of its screenshot, and the window it is shown in once it is `ready`.

    `closed` is a button that is pressed before, `asked` an input that gets a photo.
    """

    name: str
    address: str
    width: int
    height: int
    ready: str = LOADED
    closed: str = ""
    asked: str = ""


def main(argv: Sequence[str] | None = None) -> None:
    """Make mlflow.png, mlflow-charts.png, report.png and demo.png in docs/ with chromium.

    Of the servers, `make ui` and `make demo`, one that does not answer is left out.
    """
    arguments = parser("benchmarks.screenshots", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--port", type=int, default=5000, help="of `make ui` (%(default)s)")
    arguments.add_argument("--demo", type=int, default=5002, help="of `make demo` (%(default)s)")
    arguments.add_argument("--to", type=Path, default=Path("docs"), help="folder (%(default)s)")
    given = arguments.parse_args(argv)
    origin = load_params().data.origin
    check_rendered(origin)
    if paths.FACES.is_file():
        check_origin(Path(), origin, digest(paths.FACES))
    if shutil.which("chromium") is None:
        raise UserError("chromium", "not installed", "install it")
    for page in pages(given.port, given.demo):
        path = given.to / f"{page.name}.png"
        with atomic(path) as temporary:
            temporary.write_bytes(small(shoot(page)))
        print(f"{path}: {path.stat().st_size} bytes of {page.address}")


def check_rendered(origin: str) -> None:
    """Raise OriginError unless the faces are drawn by this project."""
    path = Path(origin)
    if path.suffix != ".yaml" or read_yaml(path).get("kind") != "synthetic":
        what = "these may be faces of people, which no screenshot may show"
        raise OriginError(origin, what, "use the default's rendered faces")


def pages(port: int, demo: int) -> Iterator[Page]:
    """The pages that there are to show."""
    if paths.REPORT_PAGE.is_file():
        yield Page("report", paths.REPORT_PAGE.resolve().as_uri(), 1100, 900)
    if answers(f"http://127.0.0.1:{port}/health"):
        from src.tracking.pages import address
        from src.tracking.store import open_store

        store = open_store(load_params().tracking.experiment)
        table = address(store.experiment_id, port)
        charts = address(store.experiment_id, port, charts=True)
        yield Page("mlflow", table, 1900, 760, ROWS, PANEL)
        yield Page("mlflow-charts", charts, 1500, 1230, DRAWN, PANEL)
    if answers(f"http://127.0.0.1:{demo}/"):
        yield Page("demo", f"http://127.0.0.1:{demo}/", 1100, 900, ANSWERED, asked="#file")


def answers(address: str) -> bool:
    """Whether a server of this machine answers."""
    try:
        with urlopen(address, timeout=5) as answer:  # noqa: S310 -- an address of ours
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


def shoot(page: Page) -> bytes:
    """A page as a PNG file."""
    from tests.chromium import chromium

    with (
        # Chromium's last process may still write when the first has ended.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        chromium(Path(folder)) as browser,
    ):
        image = Path(folder) / "page.png"
        browser.open(page.address)
        browser.resize(page.width, page.height)
        if page.closed:
            browser.wait(f"document.querySelector({page.closed!r}) !== null")
            browser.click(page.closed)
        if page.asked:
            browser.choose(page.asked, photo_of_test(Path(folder)))
        browser.wait(page.ready)
        browser.screenshot(image, page.width, page.height)
        return image.read_bytes()


def photo_of_test(folder: Path) -> Path:
    """The first test image as a file."""
    from PIL import Image

    from src.data.faceset import FaceSet, Split
    from src.plotting import to_hwc

    faces, path = FaceSet.load(paths.FACES), folder / "photo.png"
    Image.fromarray(to_hwc(faces.images[int(faces.rows(Split.test)[0])])).save(path)
    return path


def small(content: bytes) -> bytes:
    """The same image in a palette, with as few pixels as keep it small enough."""
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    while True:
        file = io.BytesIO()
        # Colours of few pixels count, too: runs are told apart by small dots.
        few = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)
        few.save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= LARGEST:
            return file.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5))


if __name__ == "__main__":
    run(main)

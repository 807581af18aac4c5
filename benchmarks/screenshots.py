"""`python -m benchmarks.screenshots`: the images of pages that README and docs/ show.

Only of rendered faces: a screenshot of a report or of the demo shows the faces themselves.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from src import paths
from src.cli import parser, run
from src.config import load_params
from src.config.yaml_file import read_yaml
from src.errors import OriginError, UserError
from src.files import atomic

LARGEST = 200_000  # bytes of a file
WAIT = 25_000  # milliseconds of the page's own time, for MLflow's tables
EXAMPLES = (
    "  make ui & python -m benchmarks.screenshots\n  python -m benchmarks.screenshots --port 5003"
)


@dataclass(frozen=True)
class Page:
    """A page, the name of its screenshot, and the window it is shown in."""

    name: str
    address: str
    width: int
    height: int


def main(argv: Sequence[str] | None = None) -> None:
    """Make docs/mlflow.png, docs/report.png and docs/demo.png with chromium.

    Of the servers, `make ui` and `make demo`, one that does not answer is left out.
    """
    arguments = parser("benchmarks.screenshots", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--port", type=int, default=5000, help="of `make ui` (%(default)s)")
    arguments.add_argument("--demo", type=int, default=5002, help="of `make demo` (%(default)s)")
    arguments.add_argument("--to", type=Path, default=Path("docs"), help="folder (%(default)s)")
    given = arguments.parse_args(argv)
    check_rendered(load_params().data.origin)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise UserError("chromium", "not installed", "install it, or google-chrome")
    for page in pages(given.port, given.demo):
        path = given.to / f"{page.name}.png"
        with atomic(path) as temporary:
            shown = shoot_answer(page) if page.name == "demo" else shoot(browser, page)
            temporary.write_bytes(small(shown))
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
        yield Page("mlflow", address(store.experiment_id, port), 2000, 800)
    if answers(f"http://127.0.0.1:{demo}/"):
        yield Page("demo", f"http://127.0.0.1:{demo}/", 1100, 900)


def answers(address: str) -> bool:
    """Whether a server of this machine answers."""
    try:
        with urlopen(address, timeout=5) as answer:  # noqa: S310 -- an address of ours
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def shoot(browser: str, page: Page) -> bytes:
    """A page as a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "page.png"
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-background-networking", f"--user-data-dir={folder}/profile"),
            *(f"--window-size={page.width},{page.height}", f"--virtual-time-budget={WAIT}"),
            *(f"--screenshot={image}", page.address),
        ]
        subprocess.run(command, check=False, capture_output=True, timeout=300)  # noqa: S603
        if not image.is_file():
            raise UserError(page.address, "chromium made no image of it", "open it by hand")
        return image.read_bytes()


def shoot_answer(page: Page) -> bytes:
    """The page of `make demo` with its answer about a test image, as a PNG file."""
    from PIL import Image

    from src.data.faceset import FaceSet, Split
    from src.plotting import to_hwc
    from tests.chromium import chromium

    faces = FaceSet.load(paths.FACES)
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        photo, image = Path(folder) / "photo.png", Path(folder) / "page.png"
        Image.fromarray(to_hwc(faces.images[int(faces.rows(Split.test)[0])])).save(photo)
        browser.open(page.address)
        browser.choose("#file", photo)
        browser.wait("document.querySelectorAll('#nearest > li').length > 0")
        browser.screenshot(image, page.width, page.height)
        return image.read_bytes()


def small(content: bytes) -> bytes:
    """The same image in a palette, with as few pixels as keep it small enough."""
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    while True:
        file = io.BytesIO()
        image.quantize(128).save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= LARGEST:
            return file.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5))


if __name__ == "__main__":
    run(main)

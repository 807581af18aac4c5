"""docs/licences.md: the licence of every package in the locks, from what it says of itself.

`make licences` writes the page after a change of the locks; a test holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from src import cli
from src.closure import ROOT
from src.errors import ConfigError
from src.files import write_text

LOCK, REMOTE = ROOT / "requirements.lock", ROOT / "requirements-remote.lock"
PAGE = ROOT / "docs/licences.md"
# What names no licence beside a file with its text, and what is installed only on Windows.
READ = {
    "cuda-toolkit": "none declared (names other packages)",
    "huey": "MIT",
    "python-dateutil": "Apache-2.0 or BSD-3-Clause",
    "pywin32": "PSF",
    "skops": "MIT",
    "tzdata": "Apache-2.0",
    "waitress": "ZPL 2.1",
}
SHORT = 60  # characters; some give their licence's whole text instead of its name
HEAD = """\
# Licences of dependencies

Every package of `requirements.lock` with its version and the licence that its metadata declares.
`make licences` writes this page. None is distributed with this project, whose own licence is
[MIT](../LICENSE). Those named `nvidia-*`
come with torch, and only on Linux.

"""
TABLE = "| package | version | licence |\n| --- | --- | --- |\n"
ONLY_REMOTE = """
## For S3

What `make setup-remote` adds, from `requirements-remote.lock`.

"""


@dataclass(frozen=True)
class Locked:
    """A line of the lock; a package may have several, for several systems or Python versions."""

    name: str
    version: str


def locked(text: str) -> list[Locked]:
    """The packages of a lock, in its order."""
    return [Locked(*found) for found in re.findall(r"^([a-z0-9-]+)==([^ \n]+)", text, re.MULTILINE)]


def licence(name: str) -> str:
    """What the installed package declares; "" if it is not here, or declares nothing."""
    if name in READ:
        return READ[name]
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    return next(filter(None, _declared(about)), "").replace(" | ", " or ")


def _declared(about: metadata.PackageMetadata) -> Iterator[str]:
    """The SPDX expression, else the free text if it is short, else the classifiers."""
    yield from about.get_all("License-Expression") or ()
    text = "".join(about.get_all("License") or ()).strip()
    yield text if len(text) <= SHORT and "\n" not in text and text != "UNKNOWN" else ""
    classes = [each for each in about.get_all("Classifier") or () if each.startswith("License ::")]
    yield ", ".join(each.rpartition(" :: ")[2] for each in classes)


def page(lock: str, remote: str) -> str:
    """The page for the texts of the locks; raises ConfigError if a licence is not known."""
    packages = locked(lock)
    added = [each for each in locked(remote) if each not in packages]
    return HEAD + _table(packages) + ONLY_REMOTE + _table(added)


def _table(packages: Sequence[Locked]) -> str:
    licences = {each.name: licence(each.name) for each in packages}
    if unknown := [name for name, found in licences.items() if not found]:
        what = f"the licence of {', '.join(unknown)} is not known"
        mend = "run `make licences` on Linux, or add it to READ in src/licences.py"
        raise ConfigError("docs/licences.md", what, mend)
    rows = (f"| {each.name} | {each.version} | {licences[each.name]} |\n" for each in packages)
    return TABLE + "".join(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Write docs/licences.md from the locks and the installed packages."""
    cli.parser("src.licences", str(main.__doc__), "  python -m src.licences").parse_args(argv)
    write_text(PAGE, page(*(lock.read_text(encoding="utf-8") for lock in (LOCK, REMOTE))))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    cli.run(main)

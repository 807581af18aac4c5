"""docs/licences.md names what the locks install, with the licences that it declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from src.errors import ConfigError
from src.licences import LOCK, PAGE, REMOTE, licence, locked, page

ROW = re.compile(r"^\| ([a-z0-9-]+) \| ([^ ]+) \| (.+) \|$", re.MULTILINE)
TABLES = [ROW.findall(text)[2:] for text in PAGE.read_text().split("## For S3")]  # without heads
ROWS = [row for table in TABLES for row in table]


def test_the_page_lists_every_package_of_the_locks_and_no_other() -> None:
    own, remote = locked(LOCK.read_text()), locked(REMOTE.read_text())
    added = [each for each in remote if each not in own]
    for packages, table in zip((own, added), TABLES, strict=True):
        expected = [(each.name, each.version) for each in packages]
        assert [(name, version) for name, version, _ in table] == expected


def test_what_s3_needs_fits_beside_the_lock() -> None:
    lines = [re.sub(r" \\$", "", each) for each in LOCK.read_text().splitlines()]
    remote = {re.sub(r" \\$", "", each) for each in REMOTE.read_text().splitlines()}
    assert [line for line in lines if line not in remote] == []
    assert {"boto3", "dvc-s3"} <= {each.name for each in locked(REMOTE.read_text())}
    assert "boto3" not in [each.name for each in locked(LOCK.read_text())]


def test_the_licences_are_what_the_installed_packages_declare() -> None:
    found = {name: licence(name) for name, _, _ in ROWS}
    assert {name: text for name, _, text in ROWS if found[name] not in ("", text)} == {}
    assert sum(bool(text) for text in found.values()) > 100


def test_a_package_without_a_known_licence_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="the licence of nowhere-to-be-found is not known"):
        page("nowhere-to-be-found==1.0 \\\n    --hash=sha256:00\n", "")


@pytest.mark.parametrize("lock", [LOCK, REMOTE], ids=lambda path: path.name)
def test_everything_in_the_lock_has_a_hash_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(text))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(index|extra|find)", text)


def test_the_program_that_installs_the_lock_is_in_it() -> None:
    assert "uv" in [each.name for each in locked(LOCK.read_text())]

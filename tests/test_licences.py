"""docs/licences.md names what requirements.lock installs, with the licences that it declares."""

from __future__ import annotations

import re

import pytest

from src.errors import ConfigError
from src.licences import LOCK, PAGE, licence, locked, page

ROWS = re.findall(r"^\| ([a-z0-9-]+) \| ([^ ]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)[2:]


def test_the_page_lists_every_package_of_the_lock_and_no_other() -> None:
    packages = [(each.name, each.version) for each in locked(LOCK.read_text())]
    assert [(name, version) for name, version, _ in ROWS] == packages


def test_the_licences_are_what_the_installed_packages_declare() -> None:
    found = {name: licence(name) for name, _, _ in ROWS}
    assert {name: text for name, _, text in ROWS if found[name] not in ("", text)} == {}
    assert sum(bool(text) for text in found.values()) > 100


def test_a_package_without_a_known_licence_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="the licence of nowhere-to-be-found is not known"):
        page("nowhere-to-be-found==1.0 \\\n    --hash=sha256:00\n")


def test_everything_in_the_lock_has_a_hash_and_no_index_is_named() -> None:
    text = LOCK.read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(text))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(index|extra|find)", text)


def test_the_program_that_installs_the_lock_is_in_it() -> None:
    assert "uv" in [each.name for each in locked(LOCK.read_text())]

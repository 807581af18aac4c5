"""Several workers that open a storage at the same moment all get it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from optuna.storages import RDBStorage

from src.tune.storage import open_storage, parse_url
from tests.tune.postgres import server

WORKERS = 6


@pytest.fixture
def postgres() -> Iterator[str]:
    with server() as url:
        yield url


def test_workers_that_make_the_tables_of_a_server_at_once_all_open_it(postgres: str) -> None:
    together = Barrier(WORKERS)

    def opened(_number: int) -> RDBStorage:
        together.wait()
        return open_storage(parse_url(postgres), heartbeat=10)

    with ThreadPoolExecutor(WORKERS) as pool:
        storages = list(pool.map(opened, range(WORKERS)))
    for storage in storages:
        assert storage.get_all_studies() == []

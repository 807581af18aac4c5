"""A storage opens for several workers at once, and where it never will, one line says so."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine, ExceptionContext

from src.errors import TuneError
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


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def guest(postgres: str) -> str:
    """The server's URL for a user who may not make tables."""
    execute(postgres, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "CREATE ROLE guest LOGIN")
    return postgres.replace("tests@", "guest@")


def test_a_missing_permission_that_stays_missing_is_told_on_one_line(guest: str) -> None:
    with pytest.raises(TuneError, match=r"cannot be opened \(.*permission denied") as told:
        open_storage(parse_url(guest), heartbeat=10)
    assert "\n" not in str(told.value)


def test_what_another_puts_right_after_a_few_attempts_is_waited_for(
    postgres: str, guest: str
) -> None:
    denied = []

    @event.listens_for(Engine, "handle_error")
    def put_right(context: ExceptionContext) -> None:
        denied.append(str(context.original_exception))
        if len(denied) == 3:
            execute(postgres, "GRANT CREATE ON SCHEMA public TO guest")

    try:
        storage = open_storage(parse_url(guest), heartbeat=10)
    finally:
        event.remove(Engine, "handle_error", put_right)
    assert storage.get_all_studies() == []
    assert len(denied) == 3 and all("permission denied" in each for each in denied)

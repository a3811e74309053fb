"""The servers of the races over HTTP, started once and only where a test asks for them: their ports."""

from collections.abc import Iterator

import pytest

from tests.races import over_http


@pytest.fixture(scope="session")
def product(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The product, as it is delivered."""
    with over_http.served(over_http.PRODUCT, tmp_path_factory.mktemp("product")) as port:
        yield port


@pytest.fixture(scope="session")
def without_locks(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The product, but nobody locks a row: for controls."""
    with over_http.served(over_http.WITHOUT_LOCKS, tmp_path_factory.mktemp("without-locks")) as port:
        yield port

"""The servers of the races over HTTP: their ports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.races import over_http


@pytest.fixture(scope="package")
def product(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The product, as it is delivered; started once, where a test asks for it."""
    with over_http.served(over_http.PRODUCT, tmp_path_factory.mktemp("product")) as port:
        yield port


@pytest.fixture
def without_locks(django_db_setup: None, tmp_path: Path) -> Iterator[int]:
    """The product, but nobody locks a row: for one control."""
    with over_http.served(over_http.WITHOUT_LOCKS, tmp_path) as port:
        yield port

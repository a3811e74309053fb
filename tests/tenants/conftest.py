"""Two furnished tenants, and the owner of the tables."""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import Cast
from tests.tenants.specimens import furnish


@pytest.fixture
def house(cast: Cast) -> Cast:
    """The tenant of the test, with a row in every table."""
    furnish(cast)
    return cast


@pytest.fixture
def next_door(neighbours: Cast) -> Cast:
    """Another tenant, with a row in every table."""
    furnish(neighbours)
    return neighbours


@pytest.fixture
def owner(django_db_setup: None) -> Iterator[psycopg.Connection[Any]]:
    """The owner of the tables, in a transaction that is rolled back."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        yield connection
        connection.rollback()

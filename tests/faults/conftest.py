"""The stack of the faults: started once, made whole again by each test that uses it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.stack import Stack


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A database and a broker that nobody else uses, and the programs of the product on them, none of which runs yet."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(servers: Stack, django_db_setup: None, django_db_blocker: Any) -> Iterator[Stack]:
    """The same, and the tests' own Django on its database. The test says which programs it wants: `stack.heal(stack.api)`."""
    with django_db_blocker.unblock(), servers.as_the_tests_database():
        yield servers

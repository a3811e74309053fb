"""The ground that lives of the model are played on, and how many steps they took."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.model import clock, server
from tests.model.side_by_side import Ground


@pytest.fixture(scope="module")
def ground(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The API in a process of its own, on a database whose clock is in the test's hand. Every life empties it."""
    bell = server.Bell()
    with django_db_blocker.unblock(), clock.in_hand() as hand, server.api(tmp_path_factory.mktemp("api"), bell.url) as line:
        yield Ground(line, bell, hand)
        connection.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """For `make model`."""
    done = [dict(report.user_properties) for report in terminalreporter.getreports("passed") if report.when == "call"]
    steps = [counted["steps"] for counted in done if "steps" in counted]
    terminalreporter.line(f"{len(steps)} rounds without a divergence: {sum(steps):,} steps")

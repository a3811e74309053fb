"""The ground that the lives of the model are played on."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests import production
from tests.model import clock
from tests.model.side_by_side import Ground
from tests.races.over_http import PRODUCT


@pytest.fixture(scope="module")
def ground(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The API in processes of its own, on a database whose clock is in the test's hand. Every life empties it."""
    log, environment = tmp_path_factory.mktemp("model") / "api.log", os.environ | production.SETTINGS
    api = partial(production.serve, PRODUCT, environment=environment, log=log, workers=1, threads=1)
    with django_db_blocker.unblock(), clock.in_hand() as hand, api() as served:
        yield Ground(served.port, hand)

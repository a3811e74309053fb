"""Two administrators make a signing secret of one key at the same instant: it never has more than it may have."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from operators import signing_secrets
from operators.errors import EnoughSecrets
from operators.models import ApiKey, SigningSecret
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.contract.routes import api_key
from tests.races.crowd import Call, acting, until_waiting, waits_or_ends
from tests.races.guards import unlocked


@pytest.fixture
def cast(committed: None) -> Cast:
    return assemble()


def with_room_for_one(cast: Cast) -> ApiKey:
    """A key that has all but one of the secrets that it may have."""
    key = api_key(cast)
    with isolation.act_as(cast.tenant.pk):
        for _ in range(signing_secrets.MOST - 1):
            signing_secrets.make(key.pk, by=cast.ada)
    return key


def living(cast: Cast) -> int:
    with isolation.act_as(cast.tenant.pk):
        return SigningSecret.objects.filter(dropped_at=None).count()


def without_locks(act: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with connection.execute_wrapper(unlocked):
            return act()

    return run


def test_the_second_waits_for_the_first_and_is_refused(cast: Cast) -> None:
    key = with_room_for_one(cast)

    with isolation.act_as(cast.tenant.pk):
        signing_secrets.make(key.pk, by=cast.ada)
        second = Call(acting(cast.tenant.pk, signing_secrets.make, key.pk, by=cast.ada))
        until_waiting(second)

    assert isinstance(second.done(), EnoughSecrets)
    assert living(cast) == signing_secrets.MOST


def test_without_the_lock_there_would_be_one_too_many(cast: Cast) -> None:
    """The control."""
    key = with_room_for_one(cast)

    with isolation.act_as(cast.tenant.pk):
        signing_secrets.make(key.pk, by=cast.ada)
        second = Call(without_locks(acting(cast.tenant.pk, signing_secrets.make, key.pk, by=cast.ada)))
        waits_or_ends(second)

    second.done()
    assert living(cast) == signing_secrets.MOST + 1

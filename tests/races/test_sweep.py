"""Sessions that are over are swept away around one that somebody holds, who ends it or goes on with it just now."""

from datetime import timedelta

import pytest

from convalloc import clock
from operators import sessions
from operators.models import Session
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.races.crowd import Call, acting, neighbour


@pytest.fixture
def cast(committed: None) -> Cast:
    return assemble()


def test_a_sweep_waits_for_nobody_and_takes_what_was_held_the_next_time(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        over = clock.now() - timedelta(days=1)
        held, _ = (Session.objects.create(operator=cast.olga, expires_at=over) for _ in range(2))

    with neighbour(cast.tenant.pk) as somebody:
        somebody.execute("SELECT FROM sessions WHERE id = %s FOR NO KEY UPDATE", [held.pk])
        around = Call(acting(cast.tenant.pk, sessions.sweep, 10)).done()
    afterwards = Call(acting(cast.tenant.pk, sessions.sweep, 10)).done()

    assert (around, afterwards) == (1, 1)

"""A conversation's life by chance: whatever is done in whatever order, the invariants hold and the log tells it all."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convalloc.errors import DomainError
from conversations import allocation, expiry, grace, labelling, lifecycle
from conversations.lifecycle import Override
from conversations.models import Assignment
from operators.models import Status
from tenants import eventlog, isolation
from tests.conftest import Cast
from tests.conversations import invariants
from tests.conversations.test_grace import minutes_pass

FORCE = Override(force=True, reason="by chance")


def expire_nine_minutes_later(cast: Cast) -> None:
    """Two of these are longer than the grace period."""
    minutes_pass(cast, 9)
    expiry.expire_due(limit=1)


ACTS: dict[str, Callable[[Cast, Any, Any, Any], Any]] = {
    "allocate": lambda cast, who, row, label: allocation.allocate_next(who.pk, cast.tenant),
    "claim": lambda cast, who, row, label: allocation.claim(who.pk, row.pk),
    "assign by force": lambda cast, who, row, label: allocation.assign(who.pk, row.pk, override=FORCE),
    "resolve": lambda cast, who, row, label: lifecycle.resolve(row.pk, by=who),
    "deallocate": lambda cast, who, row, label: lifecycle.deallocate(row.pk, by=cast.mia),
    "release": lambda cast, who, row, label: lifecycle.release(row.pk, by=who, reason="lunch"),
    "reassign by force": lambda cast, who, row, label: lifecycle.reassign(row.pk, who.pk, override=FORCE),
    "move to sales": lambda cast, who, row, label: lifecycle.move(row.pk, cast.sales.pk, by=cast.mia),
    "move to support": lambda cast, who, row, label: lifecycle.move(row.pk, cast.support.pk, by=cast.mia),
    "label": lambda cast, who, row, label: labelling.attach(row.pk, label.pk),
    "unlabel": lambda cast, who, row, label: labelling.detach(row.pk, label.pk),
    "leave": lambda cast, who, row, label: grace.change_status(who.pk, Status.OFFLINE, cast.tenant),
    "pause": lambda cast, who, row, label: grace.change_status(who.pk, Status.AWAY, cast.tenant),
    "return": lambda cast, who, row, label: grace.change_status(who.pk, Status.AVAILABLE, cast.tenant),
    "nine minutes pass": lambda cast, who, row, label: expire_nine_minutes_later(cast),
}
STEP = st.tuples(st.sampled_from(list(ACTS)), st.sampled_from(["olga", "otto", "mia"]), st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=st.lists(STEP, min_size=5, max_size=25))
def test_after_any_acts_in_any_order_every_invariant_holds(cast: Cast, walk: list[tuple[str, str, int, int]]) -> None:
    with isolation.act_as(cast.tenant.pk):
        rows = [cast.conversation() for _ in range(3)]
        labels = [cast.label(name="word"), cast.label(name="another"), cast.label(name="word", inbox=cast.sales)]

        for act, who, row, label in walk:
            try:
                with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk):
                    ACTS[act](cast, getattr(cast, who), rows[row], labels[label])
            except DomainError:
                continue

        invariants.assert_all(cast)
        transaction.set_rollback(True)  # the next walk begins with an empty stage


def test_an_assignment_remembers_score_wait_and_source_at_its_start(cast: Cast) -> None:
    row = cast.conversation(message_count=10, minutes_ago=720)

    with isolation.act_as(cast.tenant.pk):
        allocation.allocate_next(cast.olga.pk, cast.tenant)
        assignment = Assignment.objects.get(conversation_id=row.pk)

    assert assignment.source == "auto"
    assert abs(assignment.score_at_start - 0.34) < 1e-3
    assert abs(assignment.waited_seconds_at_start - 720 * 60) < 60

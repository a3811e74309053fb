"""The table of states drives the acts: every move in it is possible, and nothing else changes a conversation's state."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from conversations import allocation, expiry, grace, ingest, lifecycle
from conversations.errors import AlreadyResolved, HeldByAnother, NotAllocated, NotQueued, wrong_state
from conversations.ingest import Message
from conversations.lifecycle import Override
from conversations.models import Conversation, GracePeriod
from conversations.states import TRANSITIONS, State, Transition, left_by
from operators.models import Status
from tenants import isolation
from tests.conftest import Cast
from tests.conversations import invariants

BY_FORCE = Override(force=True, reason="a test")


def expire(cast: Cast, row: Conversation) -> Any:
    """Otto leaves, and the clock passes his deadline."""
    grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
    for period in GracePeriod.objects.filter(ended_at__isnull=True):
        long_ago = period.opened_at - timedelta(hours=1)
        GracePeriod.objects.filter(pk=period.pk).update(opened_at=long_ago, expires_at=long_ago + timedelta(minutes=1))
    assert expiry.expire_due().released == 1
    return Conversation.objects.get(pk=row.pk)


def customer_writes(cast: Cast, row: Conversation) -> Any:
    """An inbound message, which reopens what is resolved."""
    number, sent_at = row.customer_phone_number, row.created_at
    ingest.receive(cast.tenant, [Message("new", row.external_conversation_id, row.inbox_id, number, "inbound", sent_at)])
    return Conversation.objects.get(pk=row.pk)


ACTS: dict[str, Callable[[Cast, Conversation], Any]] = {
    "allocate": lambda cast, row: allocation.allocate_next(cast.olga.pk, cast.tenant),
    "claim": lambda cast, row: allocation.claim(cast.olga.pk, row.pk),
    "assign": lambda cast, row: allocation.assign(cast.olga.pk, row.pk),
    "resolve": lambda cast, row: lifecycle.resolve(row.pk, by=cast.mia),
    "reassign": lambda cast, row: lifecycle.reassign(row.pk, cast.olga.pk),
    "deallocate": lambda cast, row: lifecycle.deallocate(row.pk, by=cast.mia),
    "release": lambda cast, row: lifecycle.release(row.pk, by=cast.otto, reason="lunch"),
    "expire": expire,
    "reopen": customer_writes,
    "move": lambda cast, row: lifecycle.move(row.pk, cast.sales.pk, by=cast.mia)[0],
}
REFUSED = [(act, state) for act, state in product(ACTS, State) if state not in left_by(act) and act not in ("allocate", "expire", "reopen")]


def standing(cast: Cast, state: State) -> Conversation:
    """A conversation in this state; Otto holds it where somebody does, and resolved it where it is resolved."""
    row: Conversation = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        if state != State.QUEUED:
            row = allocation.claim(cast.otto.pk, row.pk)
        if state == State.RESOLVED:
            row = lifecycle.resolve(row.pk, by=cast.otto)
    return row


def test_the_acts_of_this_test_are_those_of_the_table() -> None:
    assert set(ACTS) == {move.act for move in TRANSITIONS}


def test_an_act_makes_at_most_one_move_from_a_state() -> None:
    moves = [(move.act, move.leaves) for move in TRANSITIONS]

    assert len(moves) == len(set(moves))


@pytest.mark.parametrize("move", TRANSITIONS, ids=lambda move: f"{move.act} from {move.leaves}")
def test_every_move_of_the_table_is_made_by_its_act_and_told_by_its_event(cast: Cast, move: Transition) -> None:
    row = standing(cast, move.leaves)

    with isolation.act_as(cast.tenant.pk):
        told = len(invariants.timeline(row))
        after = ACTS[move.act](cast, row)
        events = invariants.timeline(row)[told:]

        assert (after.pk, after.state) == (row.pk, move.enters)
        assert [event.kind for event in events if event.kind != "message.received"] == [f"conversation.{move.event}"]
    assert cast.again(row).state == move.enters
    invariants.assert_all(cast)


@pytest.mark.parametrize(("act", "state"), REFUSED, ids=lambda value: str(value))
def test_an_act_that_has_no_move_from_a_state_is_refused_and_changes_nothing(cast: Cast, act: str, state: State) -> None:
    row = standing(cast, state)
    refusal = {State.RESOLVED: AlreadyResolved, State.QUEUED: NotAllocated, State.ALLOCATED: HeldByAnother}[state]

    with isolation.act_as(cast.tenant.pk), pytest.raises(refusal):
        ACTS[act](cast, row)

    assert cast.again(row).version == row.version
    invariants.assert_all(cast)


@pytest.mark.parametrize("state", [State.ALLOCATED, State.RESOLVED])
def test_what_does_not_wait_is_never_allocated(cast: Cast, state: State) -> None:
    row = standing(cast, state)

    with isolation.act_as(cast.tenant.pk):
        assert ACTS["allocate"](cast, row) is None

    assert cast.again(row).version == row.version


@pytest.mark.parametrize(
    ("act", "state", "refusal"),
    [
        ("claim", State.ALLOCATED, NotQueued),
        ("claim", State.RESOLVED, AlreadyResolved),
        ("deallocate", State.QUEUED, NotAllocated),
        ("deallocate", State.RESOLVED, AlreadyResolved),
        ("expire", State.QUEUED, NotAllocated),
    ],
)
def test_the_refusal_names_what_the_act_would_have_needed(act: str, state: State, refusal: type[Exception]) -> None:
    assert type(wrong_state(act, state)) is refusal

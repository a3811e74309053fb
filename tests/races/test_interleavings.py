"""Two acts on the same thing, in every order of their steps: one of the allowed ends each time, and every allowed end is met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from conversations import allocation, expiry, grace, lifecycle, queue
from conversations.models import Conversation
from operators import desk, presence
from operators.models import Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import acting
from tests.races.interleavings import Acts, Run, every_order, one_order
from tests.races.test_grace import an_hour_passes

Row = Conversation
Act = Callable[[Cast, Row], Any]
Order = tuple[str, ...]
End = tuple[str, ...]  # what each of the acts says, in their order; then who holds the conversation, or its state


@dataclass
class Spec:
    """What two do to one conversation: how it comes to where they begin, their acts, and the ends that may follow."""

    before: Act
    acts: dict[str, Act]
    ends: set[End]


class Failed(Exception):
    """Something went wrong after the act: its transaction is rolled back."""


def does_nothing(cast: Cast, row: Row) -> None:
    """The conversation waits."""


def olga_holds(cast: Cast, row: Row) -> None:
    allocation.claim(cast.olga.pk, row.pk)


def otto_holds(cast: Cast, row: Row) -> None:
    allocation.claim(cast.otto.pk, row.pk)


def otto_left_an_hour_ago(cast: Cast, row: Row) -> None:
    allocation.claim(cast.otto.pk, row.pk)
    grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
    an_hour_passes(cast)


def another_waits(cast: Cast, row: Row) -> None:
    cast.conversation(minutes_ago=60)  # and comes before the row


def otto_may_hold_one_of_two(cast: Cast, row: Row) -> None:
    desk.limit(cast.otto.pk, own=1)
    another_waits(cast, row)


def leaves(cast: Cast, row: Row) -> Any:
    return grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)


def returns(cast: Cast, row: Row) -> Any:
    return grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)


def claims(name: str) -> Act:
    return lambda cast, row: allocation.claim(getattr(cast, name).pk, row.pk)


def allocates(name: str) -> Act:
    return lambda cast, row: allocation.allocate_next(getattr(cast, name).pk, cast.tenant)


def allocates_two(name: str) -> Act:
    return lambda cast, row: allocation.allocate_many(getattr(cast, name).pk, cast.tenant, 2)


def releases(cast: Cast, row: Row) -> Any:
    return lifecycle.release(row.pk, by=cast.olga, reason="lunch")


def allocates_and_fails(cast: Cast, row: Row) -> Any:
    allocation.allocate_next(cast.olga.pk, cast.tenant)
    raise Failed


SPECS = {
    "claim and claim": Spec(
        does_nothing,
        {"Olga": claims("olga"), "Otto": claims("otto")},
        {("done", "HeldByAnother", "Olga"), ("HeldByAnother", "done", "Otto")},
    ),
    "allocate and claim by one who may hold one": Spec(
        otto_may_hold_one_of_two,
        {"allocate": allocates("otto"), "claim": claims("otto")},
        {("done", "CapacityExceeded", "QUEUED"), ("CapacityExceeded", "done", "Otto")},
    ),
    "allocate and go offline": Spec(
        does_nothing,
        {"allocate": allocates("otto"), "leave": leaves},
        {("done", "done", "Otto"), ("OperatorNotAvailable", "done", "QUEUED")},
    ),
    "claim and go offline": Spec(
        does_nothing,
        {"claim": claims("otto"), "leave": leaves},
        {("done", "done", "Otto"), ("OperatorNotAvailable", "done", "QUEUED")},
    ),
    "allocate and move to where the operator does not answer": Spec(
        does_nothing,
        {"allocate": allocates("otto"), "move": lambda cast, row: lifecycle.move(row.pk, cast.sales.pk, by=cast.mia)},
        {("done", "done", "QUEUED"), ("nothing waits", "done", "QUEUED")},
    ),
    "reassign and resolve": Spec(
        otto_holds,
        {
            "reassign": lambda cast, row: lifecycle.reassign(row.pk, cast.olga.pk),
            "resolve": lambda cast, row: lifecycle.resolve(row.pk, by=cast.otto),
        },
        {("done", "NotTheHolder", "Olga"), ("AlreadyResolved", "done", "RESOLVED")},
    ),
    "release and reassign": Spec(
        olga_holds,
        {"release": releases, "reassign": lambda cast, row: lifecycle.reassign(row.pk, cast.otto.pk)},
        {("done", "NotAllocated", "QUEUED"), ("NotTheHolder", "done", "Otto")},
    ),
    "expire and return": Spec(
        otto_left_an_hour_ago,
        {"expire": lambda cast, row: expiry.expire_due(), "return": returns},
        {("released 1", "done", "QUEUED"), ("released 0", "done", "Otto")},
    ),
}


class Scene:
    """A tenant of its own, and one conversation, for each order of a spec's acts."""

    cast: Cast
    row: Row

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def stage(self) -> Acts:
        """Begin anew."""
        self.cast = assemble()
        self.row = self.cast.conversation()
        acting(self.cast.tenant.pk, self.spec.before, self.cast, self.row)()
        return {name: acting(self.cast.tenant.pk, act, self.cast, self.row) for name, act in self.spec.acts.items()}

    def end(self, run: Run) -> End:
        """What everybody was told, and where the conversation is."""
        row = self.cast.again(self.row)
        holders = {operator.pk: operator.name for operator in (self.cast.olga, self.cast.otto)}
        return (*(said(outcome) for outcome in run.outcomes.values()), holders.get(row.assigned_operator_id or 0, row.state))

    def broken(self) -> str:
        """The invariant that does not hold, if any."""
        try:
            invariants.assert_all(self.cast)
        except AssertionError as problem:
            return str(problem)
        return ""


def orders(spec: Spec, *, locking: bool) -> Iterator[tuple[Order, End, str]]:
    """Each order that was run, with its end, and the invariant that does not hold after it, if any."""
    scene = Scene(spec)
    for run in every_order(scene.stage, locking=locking):
        yield run.order, scene.end(run), scene.broken()


def said(outcome: Any) -> str:
    """In a word."""
    if isinstance(outcome, expiry.Counts):
        return f"released {outcome.released}"
    if isinstance(outcome, list):
        return f"{len(outcome)} given"
    if isinstance(outcome, Exception):
        return type(outcome).__name__
    return "nothing waits" if outcome is None else "done"


@pytest.mark.parametrize("name", SPECS)
def test_in_every_order_two_acts_end_as_if_one_came_after_the_other(committed: None, name: str) -> None:
    met, run = set[End](), set[Order]()

    for order, end, problem in orders(SPECS[name], locking=True):
        assert (end in SPECS[name].ends, problem) == (True, ""), (order, end)
        met.add(end)
        run.add(order)

    assert met == SPECS[name].ends
    assert len(run) > 3


@pytest.mark.parametrize("name", SPECS)
def test_control_without_locks_some_order_ends_as_it_must_not(committed: None, name: str) -> None:
    found = orders(SPECS[name], locking=False)

    assert any(problem or end not in SPECS[name].ends for _, end, problem in found)


A_RELEASE_AND_A_CLAIM = Spec(
    olga_holds,
    {"release": releases, "claim": claims("otto")},
    {("done", "done", "Otto"), ("done", "HeldByAnother", "QUEUED")},
)


def refused_in_vain(order: Order, end: End) -> bool:
    """The release had begun before the claim took its second step, which locks the conversation; and yet it was not to be had."""
    claim = [place for place, name in enumerate(order) if name == "claim"][1]
    return order.index("release") < claim and end != ("done", "done", "Otto")


def test_a_claim_waits_for_a_release_that_has_begun_and_gets_the_conversation(committed: None) -> None:
    found = list(orders(A_RELEASE_AND_A_CLAIM, locking=True))

    assert [(order, end, problem) for order, end, problem in found if problem or refused_in_vain(order, end)] == []
    assert {end for _, end, _ in found} == A_RELEASE_AND_A_CLAIM.ends


def test_control_without_locks_a_claim_is_refused_for_a_holder_who_is_about_to_let_go(committed: None) -> None:
    assert any(refused_in_vain(order, end) for order, end, _ in orders(A_RELEASE_AND_A_CLAIM, locking=False))


A_FAILURE_AND_AN_ALLOCATION = Spec(
    does_nothing,
    {"fail": allocates_and_fails, "allocate": allocates("otto")},
    {("Failed", "done", "Otto")},
)


def test_whenever_a_neighbours_allocation_fails_nobody_is_told_that_nothing_waits(committed: None) -> None:
    found = list(orders(A_FAILURE_AND_AN_ALLOCATION, locking=True))

    assert {(end, problem) for _, end, problem in found} == {(end, "") for end in A_FAILURE_AND_AN_ALLOCATION.ends}
    assert len(found) > 3


def test_control_without_the_second_look_somebody_is_told_so(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING", "SELECT NULL::bigint WHERE false")

    assert any(end == ("Failed", "nothing waits", "QUEUED") for _, end, _ in orders(A_FAILURE_AND_AN_ALLOCATION, locking=True))


def otto_holds_and_another_waits(cast: Cast, row: Row) -> None:
    otto_holds(cast, row)
    another_waits(cast, row)


A_HAND_OUT_AND_A_LOWER_LIMIT = Spec(
    otto_holds_and_another_waits,
    {"allocate": allocates("otto"), "lower": lambda cast, row: desk.tune(operator_capacity=1)},
    {("done", "done", "Otto"), ("CapacityExceeded", "done", "Otto")},
)


def what_happened(*, locking: bool) -> Iterator[tuple[End, list[str]]]:
    """After each order of a hand-out and a lower limit: its end, and which of the two came to pass, in the order of the log."""
    scene = Scene(A_HAND_OUT_AND_A_LOWER_LIMIT)
    for run in every_order(scene.stage, locking=locking):
        with isolation.act_as(scene.cast.tenant.pk):
            events = Event.objects.filter(kind__in=["conversation.allocated", "tenant.settings_changed"]).order_by("id")
            yield scene.end(run), list(events.values_list("kind", flat=True))


def test_nothing_is_given_beyond_the_tenants_limit_once_it_is_lowered(committed: None) -> None:
    found = list(what_happened(locking=True))

    assert {end for end, _ in found} == A_HAND_OUT_AND_A_LOWER_LIMIT.ends
    assert [told for _, told in found if told[-1] == "conversation.allocated"] == []


def test_control_without_the_locks_of_all_operators_something_is(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "hold_everybody", lambda: None)

    assert any(told[-1] == "conversation.allocated" for _, told in what_happened(locking=True))


def another_waits_and_two_may_hold_so_many_of_the_inbox(cast: Cast, row: Row) -> None:
    another_waits(cast, row)
    for operator in (cast.olga, cast.otto):  # which makes them take one by one
        desk.limit(operator.pk, inboxes={cast.support.pk: 9})


EACH_HOLDS_ONE = ("Olga", "Olga", "Otto", "Otto")
TWO_BATCHES_FOR_TWO = Spec(
    another_waits_and_two_may_hold_so_many_of_the_inbox,
    {"Olga": allocates_two("olga"), "Otto": allocates_two("otto")},
    {("1 given", "1 given", "Otto")},
)


def test_two_batches_that_hold_one_each_do_not_wait_for_each_others(committed: None) -> None:
    scene = Scene(TWO_BATCHES_FOR_TWO)

    run, _ = one_order(scene.stage(), EACH_HOLDS_ONE)

    assert scene.end(run) in TWO_BATCHES_FOR_TWO.ends
    assert scene.broken() == ""


def test_control_a_batch_that_waits_while_it_holds_meets_another_in_a_deadlock(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_best = queue.lock_best
    monkeypatch.setattr(queue, "lock_best", lambda operator_id, tenant, wait: lock_best(operator_id, tenant))
    scene = Scene(TWO_BATCHES_FOR_TWO)

    run, _ = one_order(scene.stage(), EACH_HOLDS_ONE)

    assert "OperationalError" in scene.end(run)

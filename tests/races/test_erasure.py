"""A customer is forgotten while people work on their conversation: in every order of the steps the number is gone, and stays gone."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Q

from conversations import allocation, erasure, lifecycle, queue
from conversations.contacts import Contact
from conversations.lifecycle import Override
from conversations.models import Conversation
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.conversations.test_erasure import NUMBER, keeps, resolved
from tests.races.crowd import Call, acting, neighbour, until_waiting
from tests.races.interleavings import Acts
from tests.races.test_interleavings import End, Order, Scene, Spec, does_nothing, every_order, otto_holds


class Forgetting(Scene):
    """A scene whose customer has a number, and is forgotten in the one transaction that an erasure spends on their conversations."""

    def stage(self) -> Acts:
        self.cast = assemble()
        self.row = self.cast.conversation(customer_phone_number=NUMBER)
        acting(self.cast.tenant.pk, self.spec.before, self.cast, self.row)()
        acts = {name: acting(self.cast.tenant.pk, act, self.cast, self.row) for name, act in self.spec.acts.items()}
        return {"erase": acting(self.cast.tenant.pk, erasure.erase, [self.row.pk], Q(customer_phone_number=NUMBER))} | acts

    def left(self) -> list[str]:
        """Where the number stands, but for what was written when the customer was forgotten already."""
        with isolation.act_as(self.cast.tenant.pk):
            told = [event.cause for event in invariants.timeline(self.row)]
            number = Conversation.objects.get(pk=self.row.pk).customer_phone_number
        erased = next((place for place, cause in enumerate(told) if cause.startswith("contact")), len(told))
        return [text for text in (number, *told[:erased]) if NUMBER in text]


def reassigns_with_a_word(cast: Cast, row: Conversation) -> Any:
    return lifecycle.reassign(row.pk, cast.olga.pk, override=Override(reason=f"{NUMBER} asked for her"))


OLGA: set[End] = {("done", "done", "Olga")}
RESOLVED: set[End] = {("done", "done", "RESOLVED")}
SPECS = {
    "allocate": Spec(does_nothing, {"act": lambda cast, row: allocation.allocate_next(cast.olga.pk, cast.tenant)}, OLGA),
    "resolve": Spec(otto_holds, {"act": lambda cast, row: lifecycle.resolve(row.pk, by=cast.otto)}, RESOLVED),
    "reassign": Spec(otto_holds, {"act": reassigns_with_a_word}, OLGA),
}


def orders(spec: Spec, *, locking: bool) -> Iterator[tuple[Order, Any, str, list[str]]]:
    """Each order that was run: its end, the invariant that does not hold, and where the number stands."""
    scene = Forgetting(spec)
    for run in every_order(scene.stage, locking=locking):
        yield run.order, scene.end(run), scene.broken(), scene.left()


@pytest.mark.parametrize("name", SPECS)
def test_in_every_order_the_number_is_gone_and_the_act_is_done(committed: None, name: str) -> None:
    found = list(orders(SPECS[name], locking=True))

    assert [one for one in found if (one[1] not in SPECS[name].ends, one[2], one[3]) != (False, "", [])] == []
    assert len(found) > 3


@pytest.mark.parametrize("name", ["resolve", "reassign"])
def test_control_without_locks_some_order_tells_one_version_twice(committed: None, name: str) -> None:
    assert any(broken for _, _, broken, _ in orders(SPECS[name], locking=False))


def test_control_an_act_that_wrote_the_whole_row_without_locking_it_would_bring_the_number_back(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Conversation.save
    monkeypatch.setattr(Conversation, "save", lambda self, **options: save(self))

    assert any(NUMBER in left for _, _, _, left in orders(SPECS["resolve"], locking=False))


def test_the_clock_passes_over_what_somebody_holds_and_takes_it_the_next_time(committed: None) -> None:
    cast = assemble()
    held, free = resolved(cast, 31), resolved(cast, 31)
    keeps(cast, 30)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM conversations WHERE id = %s FOR NO KEY UPDATE", [held.pk])
        first = Call(erasure.erase_old).done()
    second = erasure.erase_old()

    assert (first.conversations, first.left) == (second.conversations, 1) == (1, 1)
    assert second.left == 0
    assert cast.again(free).version == cast.again(held).version


def test_a_round_full_of_what_somebody_holds_keeps_nothing_else_waiting(committed: None) -> None:
    cast = assemble()
    held, free = [resolved(cast, 40 - n) for n in range(2)], [resolved(cast, 31) for _ in range(3)]
    keeps(cast, 30)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM conversations WHERE id = ANY (%s) FOR NO KEY UPDATE", [[row.pk for row in held]])
        first = Call(lambda: erasure.erase_old(limit=2)).done()
    second = erasure.erase_old(limit=2)

    assert [(counts.conversations, counts.left) for counts in (first, second)] == [(len(free), len(held)), (len(held), 0)]


def test_a_label_that_is_being_added_under_the_new_name_is_waited_for(committed: None) -> None:
    cast = assemble()
    stand_in = Contact.of(cast.tenant.pk, NUMBER).stand_in
    label = cast.label(name=f"VIP {NUMBER}")

    with neighbour(cast.tenant.pk) as session:
        session.execute(
            "INSERT INTO labels (tenant_id, inbox_id, name, color, created_by_id) VALUES (%s, %s, %s, '#000000', %s)",
            [cast.tenant.pk, cast.support.pk, f"VIP {stand_in}", cast.mia.pk],
        )
        call = Call(lambda: erasure.erase_contact(cast.tenant.pk, NUMBER))
        until_waiting(call)
        session.commit()

    assert call.done()[1].texts == 1
    assert cast.again(label).name == f"VIP {stand_in} ({label.pk})"


def test_what_was_reopened_while_the_clock_waited_is_kept(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = assemble()
    row = resolved(cast, 31)
    keeps(cast, 30)
    hold = queue.hold_many

    def reopened_before(ids: list[int], *, wait: bool) -> set[int]:
        def reopen() -> None:
            Conversation.objects.filter(pk=row.pk).update(state="QUEUED", resolved_at=None)

        assert Call(acting(cast.tenant.pk, reopen)).done() is None
        return hold(ids, wait=wait)

    monkeypatch.setattr(queue, "hold_many", reopened_before)

    assert erasure.erase_old() == erasure.Counts()
    assert cast.again(row).customer_phone_number == row.customer_phone_number

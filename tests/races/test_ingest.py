"""Deliveries that meet: one conversation for each name, each message once, whoever comes first; and none that nobody wrote to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from conversations import erasure, ingest
from conversations.ingest import Message
from conversations.models import Conversation, ReceivedMessage
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import Call, acting, neighbour, together, until_waiting
from tests.races.test_acts import deadlocks

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NUMBER = "+12025550123"
OPENED = """
    INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, state, message_count, last_message_at,
                               waits_from, credit, rank, saturated, priority_score, version)
    VALUES (%s, %s, %s, '+12025550123', 'QUEUED', 1, now(), now(), 0, 0, false, 0, 1) RETURNING id
"""
KEPT = """
    INSERT INTO received_messages (tenant_id, provider, message_id, conversation_id, direction, sent_at, episode)
    VALUES (%s, 'default', %s, %s, 'inbound', now(), 1)
"""


def message(cast: Cast, message_id: str, thread: str = "thread") -> Message:
    return Message(message_id, thread, cast.support.pk, NUMBER, "inbound", NOON + timedelta(seconds=len(message_id)))


def receiving(cast: Cast, *messages: Message) -> Any:
    return acting(cast.tenant.pk, ingest.receive, cast.tenant, messages)


def counts(cast: Cast) -> dict[str, int]:
    with isolation.act_as(cast.tenant.pk):
        return dict(Conversation.objects.values_list("external_conversation_id", "message_count"))


def test_deliveries_that_open_the_same_conversation_open_one(committed: None) -> None:
    cast = assemble()
    for round_ in range(10):
        same = message(cast, f"same {round_}", f"thread {round_}")
        acts = [receiving(cast, same, message(cast, f"own {round_} {n}", f"thread {round_}")) for n in range(6)]

        outcomes = together(acts)

        statuses = [outcome.status for told in outcomes for outcome in told]
        assert (statuses.count("created"), statuses.count("counted"), statuses.count("duplicate")) == (1, 6, 5)
    assert counts(cast) == {f"thread {n}": 7 for n in range(10)}
    invariants.assert_all(cast)


def test_batches_that_cross_do_not_wait_in_a_circle(committed: None) -> None:
    cast, before = assemble(), deadlocks()
    for round_ in range(15):
        batch = [message(cast, f"{round_} {n}", f"thread {(round_ + n) % 9}") for n in range(12)]

        outcomes = together([receiving(cast, *batch[turn:], *batch[:turn]) for turn in (0, 5, 9)] + [receiving(cast, *reversed(batch))])

        assert sum(outcome.status != "duplicate" for told in outcomes for outcome in told) == len(batch)
    connection.close()
    assert deadlocks() == before
    assert sum(counts(cast).values()) == 15 * 12
    invariants.assert_all(cast)


def counted_elsewhere_meanwhile(cast: Cast) -> Any:
    """What becomes of a message, brought for a new thread, that another delivery is just counting in a thread of its own."""
    with neighbour(cast.tenant.pk) as session:
        (opened,) = session.execute(OPENED, [cast.tenant.pk, cast.support.pk, "theirs"]).fetchone() or (None,)
        session.execute(KEPT, [cast.tenant.pk, "m", opened])
        call = Call(receiving(cast, message(cast, "m", "ours")))
        until_waiting(call)
        session.commit()
    (outcome,) = call.done()
    return outcome, opened


def test_a_message_that_is_being_counted_elsewhere_opens_nothing(committed: None) -> None:
    cast = assemble()

    outcome, opened = counted_elsewhere_meanwhile(cast)

    assert (outcome.status, outcome.conversation_id) == ("duplicate", opened)
    assert counts(cast) == {"theirs": 1}


def test_control_what_was_opened_in_vain_would_stay(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_close", lambda ids: None)
    cast = assemble()

    counted_elsewhere_meanwhile(cast)

    assert counts(cast) == {"theirs": 1, "ours": 0}


def test_a_message_that_waited_for_an_erasure_opens_a_new_conversation(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = assemble()
    receiving(cast, message(cast, "first"))()
    counting: list[Call] = []
    rename = erasure._rename_messages

    def with_a_delivery_at_the_door(conversation_ids: list[int]) -> None:
        counting.append(Call(receiving(cast, message(cast, "first"), message(cast, "next"))))
        until_waiting(counting[0])
        rename(conversation_ids)

    monkeypatch.setattr(erasure, "_rename_messages", with_a_delivery_at_the_door)

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    known, new = counting[0].done()
    assert (known.status, new.status) == ("duplicate", "created")
    assert known.conversation_id != new.conversation_id
    assert sorted(counts(cast).values()) == [1, 1]
    with isolation.act_as(cast.tenant.pk):
        assert ReceivedMessage.objects.count() == 2
    invariants.assert_all(cast)

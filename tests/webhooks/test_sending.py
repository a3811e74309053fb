"""Events reach a real receiver: signed, each once where nothing fails, again where something does, never those of others."""

from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from convalloc import clock
from convalloc.outbound import Answer
from tenants import deliveries, isolation
from tenants.models import Event, WebhookDelivery
from tests.conftest import Api, assemble
from tests.tenants.test_feed import wait_until_final
from tests.webhooks.conftest import Hooked, hooked


def labelled(hook: Hooked, name: str = "VIP") -> int:
    """Something happens; the id of its event."""
    answer = Api(hook.cast.mia).post("/labels", inbox_id=hook.cast.support.pk, name=name, color="#336699")
    assert answer.status == 201, answer.body
    return hook.event_ids("label.created")[-1]


def test_an_event_arrives_signed_and_once(hook: Hooked) -> None:
    event_id = labelled(hook)

    counts = [hook.send() for _ in range(3)]

    assert counts == [{"delivered": 1, "failed": 0, "left": 0}] + [{"delivered": 0, "failed": 0, "left": 0}] * 2
    (got,) = hook.receiver.got
    assert got.id == event_id
    assert Verifier(hook.secret).verify(got.body, got.headers)["type"] == "label.created"
    (delivery,) = hook.deliveries()
    assert (delivery["state"], delivery["event_id"], delivery["last_status"], delivery["attempts"]) == ("delivered", event_id, 204, 1)


def test_a_thin_payload_names_nobody_and_a_full_one_tells_all(hook: Hooked) -> None:
    full = hooked(hook.cast, hook.receiver, payload="full")
    row = hook.cast.conversation(customer_phone_number="+19870001234")
    assert Api(hook.cast.olga).post("/conversations/claim", operator_id=hook.cast.olga.pk, conversation_id=row.pk).status == 200
    assert Api(hook.cast.ada).post("/contacts/erase", phone_number="+19870001234").status == 200

    hook.send()

    (event_id,) = hook.event_ids("conversation.claimed")
    thin, all_ = sorted((got for got in hook.receiver.got if got.id == event_id), key=lambda got: len(got.body))
    with isolation.act_as(hook.cast.tenant.pk):
        event = Event.objects.get(pk=event_id)
    assert thin.told == {
        "type": "conversation.claimed",
        "timestamp": clock.instant(event.at),
        "data": {
            "id": event_id,
            "position": f"{event.transaction}-{event_id}",
            "kind": "conversation.claimed",
            "at": clock.instant(event.at),
            "subject": {"type": "conversation", "id": row.pk},
            "conversation_id": row.pk,
            "inbox_id": row.inbox_id,
            "actor_id": hook.cast.olga.pk,
            "request_id": event.request_id,
            "version": event.after["version"],
        },
    }
    assert all_.told["data"]["after"] == event.after
    assert full.row().payload == "full"


def test_only_the_wanted_kinds_come_and_those_for_admins_only_by_name(hook: Hooked) -> None:
    some = hooked(hook.cast, hook.receiver, kinds=["api_key.made", "label.changed"])
    labelled(hook)
    assert Api(hook.cast.ada).post("/api-keys", name="CRM", scopes=["labels:read"]).status == 201

    hook.send()

    assert [row["kind"] for row in hook.deliveries()] == ["label.created"]
    assert [row["kind"] for row in some.deliveries()] == ["api_key.made"]


def test_nobody_hears_of_what_happens_to_others(hook: Hooked) -> None:
    neighbours = hooked(assemble(), hook.receiver)
    labelled(neighbours)

    neighbours.send()

    assert hook.deliveries() == []
    assert len(neighbours.deliveries()) == 1


def test_what_fails_is_tried_again_ten_times_within_75_hours_and_then_the_webhook_stops(hook: Hooked) -> None:
    hook.receiver.answer = lambda got: 500
    event_id, waits = labelled(hook), []

    for _ in range(12):
        before = clock.now()
        hook.send()
        (delivery,) = hook.deliveries()
        with isolation.act_as(hook.cast.tenant.pk):
            waits.append((WebhookDelivery.objects.get().due_at - before).total_seconds())
        hook.later(days=2)

    assert hook.receiver.ids == [event_id] * 10
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("failed", 10, 500)
    assert all(0.89 * delay <= wait <= 1.11 * delay + 5 for delay, wait in zip(deliveries.DELAYS, waits, strict=False))
    assert timedelta(hours=75) < timedelta(seconds=sum(deliveries.DELAYS)) < timedelta(hours=76)
    assert hook.call("GET")["stopped_because"] == "failing"
    assert len(hook.event_ids("webhook.stopped")) == 1


def test_a_failure_stops_nobody_to_whom_something_else_got_through(hook: Hooked) -> None:
    bad = labelled(hook, "never")
    hook.receiver.answer = lambda got: 500 if got.id == bad else 204
    for number in range(10):
        hook.send()
        labelled(hook, f"word {number}")
        hook.later(days=2)
        hook.send()
        hook.later(days=2)

    assert [row["state"] for row in hook.deliveries() if row["event_id"] == bad] == ["failed"]
    assert hook.call("GET")["enabled"]


def test_410_stops_the_webhook_at_once_and_enabling_it_goes_on_where_it_stood(hook: Hooked) -> None:
    hook.receiver.answer = lambda got: 410
    first = labelled(hook, "one")
    hook.send()
    second = labelled(hook, "two")
    hook.send()

    assert hook.receiver.ids == [first]
    assert [hook.call("GET")[name] for name in ("enabled", "stopped_because")] == [False, "gone"]

    hook.receiver.answer = lambda got: 204
    hook.call("PATCH", enabled=True)
    hook.send()

    assert hook.receiver.ids == [first, second]
    assert [row["state"] for row in hook.deliveries()] == ["failed", "delivered"]


def test_a_redirect_is_not_followed(hook: Hooked) -> None:
    hook.receiver.answer = lambda got: 302
    hook.receiver.headers = {"location": f"http://127.0.0.1:{hook.receiver.port}/elsewhere"}
    labelled(hook)

    hook.send()

    assert [got.path for got in hook.receiver.got] == ["/hook"]
    assert [(row["state"], row["last_status"]) for row in hook.deliveries()] == [("pending", 302)]


def test_a_replay_sends_again_what_came_after_a_position_under_the_same_ids(hook: Hooked) -> None:
    begin = hook.call("GET")["position"]
    ids = [labelled(hook, f"word {number}") for number in range(3)]
    hook.send()

    hook.call("POST", "/replay", after=begin)
    hook.send()

    assert hook.receiver.ids == ids * 2
    assert [row["state"] for row in hook.deliveries()] == ["delivered"] * 3


def test_a_replay_from_the_end_leaves_out_what_was_not_read(hook: Hooked) -> None:
    labelled(hook, "left out")
    wait_until_final(hook.cast)

    hook.call("POST", "/replay", after="latest")
    event_id = labelled(hook, "told")
    hook.send()

    assert hook.receiver.ids == [event_id]


def test_the_test_button_sends_an_event_of_its_own_whatever_the_kinds(hook: Hooked) -> None:
    picky = hooked(hook.cast, hook.receiver, kinds=["label.changed"])

    made = picky.call("POST", "/test")
    hook.send()

    assert hook.receiver.ids == [made["event_id"]] == hook.event_ids("webhook.tested")
    assert hook.receiver.got[0].told["type"] == "webhook.tested"
    assert hook.deliveries() == []


def test_a_delivery_that_was_given_up_is_retried_by_hand(hook: Hooked) -> None:
    hook.receiver.answer = lambda got: 500
    event_id = labelled(hook)
    hook.send()
    (row,) = hook.deliveries()

    hook.receiver.answer = lambda got: 200
    hook.call("POST", f"/deliveries/{row['id']}/retry")
    hook.send()

    assert hook.receiver.ids == [event_id] * 2
    assert [row["state"] for row in hook.deliveries()] == ["delivered"]


def test_a_replaced_secret_signs_beside_its_successor_for_a_day(hook: Hooked) -> None:
    fresh = hook.call("POST", "/secret")["secret"]
    labelled(hook, "one")
    hook.send()
    with isolation.act_as(hook.cast.tenant.pk):
        row = hook.row()
        row.former_until = clock.now()
        row.save(update_fields=["former_until"])
    labelled(hook, "two")
    hook.send()

    both, one = hook.receiver.got
    assert [Verifier(secret).verify(both.body, both.headers)["type"] for secret in (hook.secret, fresh)] == ["label.created"] * 2
    assert Verifier(fresh).verify(one.body, one.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(hook.secret).verify(one.body, one.headers)


def test_what_a_dead_worker_took_is_sent_when_its_lease_is_over(hook: Hooked) -> None:
    event_id = labelled(hook)
    wait_until_final(hook.cast)
    with isolation.act_as(hook.cast.tenant.pk):
        deliveries.plan(hook.id)
        (taken,) = deliveries.take(hook.id, 10)
    hook.send()
    assert hook.receiver.ids == []

    hook.later(seconds=61)
    hook.send()

    assert hook.receiver.ids == [event_id]
    with isolation.act_as(hook.cast.tenant.pk):
        deliveries.note(hook.id, taken, Answer(500, "", 1))  # the dead one wakes up
    assert [(row["state"], row["attempts"]) for row in hook.deliveries()] == [("delivered", 1)]


def test_the_late_word_of_a_worker_that_was_taken_for_dead_is_not_heard(hook: Hooked) -> None:
    labelled(hook)
    wait_until_final(hook.cast)
    with isolation.act_as(hook.cast.tenant.pk):
        deliveries.plan(hook.id)
        (first,) = deliveries.take(hook.id, 10)
    hook.later(seconds=61)
    with isolation.act_as(hook.cast.tenant.pk):
        (second,) = deliveries.take(hook.id, 10)

        deliveries.note(hook.id, first, Answer(410, "", 1))
        deliveries.give_back(first)

    assert [(row["state"], row["attempts"]) for row in hook.deliveries()] == [("pending", 0)]
    hook.send()
    assert hook.receiver.got == []
    assert second.event == first.event

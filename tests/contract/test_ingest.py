"""POST /ingest/messages: each message counts once; what is wrong is told for each, and stops no other."""

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from convalloc import clock
from conversations import erasure, ingest, lifecycle
from conversations.api.ingest import Receipt
from conversations.models import Conversation, ReceivedMessage
from conversations.states import State
from operators import api_keys
from tenants import isolation
from tenants.models import Event, Tenant
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.conversations import invariants
from tests.security.signing import program
from tests.security.signing import send as signed

NUMBER = "+12025550123"


def told(cast: Cast, message_id: str = "SM1", *, minutes_ago: float = 5, **other: Any) -> dict[str, Any]:
    """An inbound message at support, as its sender tells of it."""
    return {
        "message_id": message_id,
        "external_conversation_id": "thread 1",
        "inbox": cast.support.pk,
        "customer_phone_number": NUMBER,
        "direction": "inbound",
        "sent_at": clock.instant(clock.now() - timedelta(minutes=minutes_ago)),
    } | other


def send(cast: Cast, *messages: Any) -> Answer:
    """One message alone, or several as a batch, as Ada."""
    return Api(cast.ada).post("/ingest/messages", **(messages[0] if len(messages) == 1 else {"messages": list(messages)}))


def thread(cast: Cast, name: str = "thread 1") -> Conversation:
    with isolation.act_as(cast.tenant.pk):
        return Conversation.objects.get(external_conversation_id=name)


def test_a_new_message_opens_a_conversation_that_waits(cast: Cast) -> None:
    message = told(cast, minutes_ago=30)

    with witness.appended(cast) as events:
        answer = send(cast, message)

    row = thread(cast)
    assert answer.status == 201
    assert answer.data == Receipt.example | {"conversation_id": row.pk}
    assert {name: answer.body["meta"][name] for name in ("count", "created", "counted", "duplicate", "refused")} == {
        "count": 1, "created": 1, "counted": 0, "duplicate": 0, "refused": 0,
    }  # fmt: skip
    assert (row.state, row.message_count, row.inbox_id, row.customer_phone_number, row.version) == ("QUEUED", 1, cast.support.pk, NUMBER, 2)
    assert clock.instant(row.last_message_at) == message["sent_at"] == clock.instant(row.waiting_since or row.created_at)
    assert [(event["kind"], event["actor_id"]) for event in events] == [
        ("conversation.created", cast.ada.pk),
        ("message.received", cast.ada.pk),
    ]
    assert events[1]["before"]["message_count"] == 0
    assert events[1]["after"] == {
        "message_count": 1, "last_message_at": message["sent_at"], "waiting_since": message["sent_at"], "version": 2,
    }  # fmt: skip
    invariants.assert_all(cast)


def test_what_was_opened_is_handed_out(cast: Cast, api: type[Api]) -> None:
    opened = send(cast, told(cast)).data["conversation_id"]

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert answer.data["id"] == opened


def test_a_message_that_comes_again_is_200_and_changes_nothing(cast: Cast) -> None:
    message = told(cast)
    first = send(cast, message)

    with witness.untouched(cast):
        again = send(cast, message | {"external_conversation_id": "another thread", "direction": "outbound"})

    assert (again.status, again.data["status"], again.data["conversation_id"]) == (200, "duplicate", first.data["conversation_id"])


def test_the_same_id_of_another_provider_is_another_message(cast: Cast) -> None:
    answers = [send(cast, told(cast, provider=provider)) for provider in ("twilio", "meta", "twilio")]

    assert [answer.status for answer in answers] == [201, 201, 200]
    assert thread(cast).message_count == 2


def test_an_answer_ends_the_wait_and_a_late_question_does_not_begin_it_anew(cast: Cast) -> None:
    asked, answered, late = (
        told(cast, "a", minutes_ago=10),
        told(cast, "b", minutes_ago=5, direction="outbound"),
        told(cast, "c", minutes_ago=7),
    )

    waits = []
    for message in (asked, answered, late):
        send(cast, message)
        waits.append(thread(cast).waiting_since)

    assert waits == [datetime.fromisoformat(asked["sent_at"]), None, None]
    assert clock.instant(thread(cast).last_message_at) == answered["sent_at"]
    invariants.assert_all(cast)


@pytest.mark.parametrize("clock_of", ["last_message_at", "waiting_since"])
def test_the_place_in_the_queue_follows_every_message(cast: Cast, clock_of: str) -> None:
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(waiting_clock=clock_of)
    first, last = told(cast, "a", minutes_ago=50), told(cast, "b", minutes_ago=20)

    send(cast, first, last)

    row = thread(cast)
    assert clock.instant(row.waits_from) == (last if clock_of == "last_message_at" else first)["sent_at"]
    assert row.credit == 2 * 9.6 * 60_000_000
    invariants.assert_all(cast)


def resolved(cast: Cast) -> Conversation:
    send(cast, told(cast, "first", minutes_ago=60))
    with isolation.act_as(cast.tenant.pk):
        return lifecycle.resolve(thread(cast).pk, by=cast.mia)


def test_an_inbound_message_reopens_what_is_resolved_however_late_it_comes(cast: Cast, api: type[Api]) -> None:
    row = resolved(cast)
    days_late = told(cast, "late", minutes_ago=3 * 24 * 60)

    with witness.appended(cast) as events:
        answer = send(cast, days_late)

    after = thread(cast)
    assert (answer.status, answer.data["status"], answer.data["reopened"]) == (201, "counted", True)
    assert (after.state, after.resolved_at, after.episode, after.message_count) == (State.QUEUED, None, 2, 2)
    assert clock.instant(after.waiting_since or after.created_at) == days_late["sent_at"]
    assert [event["kind"] for event in events] == ["message.received", "conversation.reopened"]
    assert (events[1]["before"]["state"], events[1]["before"]["episode"], events[1]["before"]["version"]) == (
        "RESOLVED",
        1,
        row.version + 1,
    )
    assert (events[1]["after"]["state"], events[1]["after"]["episode"], events[1]["after"]["resolved_at"]) == ("QUEUED", 2, None)
    assert api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk).status == 200
    invariants.assert_all(cast)


def test_an_outbound_message_does_not(cast: Cast) -> None:
    resolved(cast)

    answer = send(cast, told(cast, "bye", minutes_ago=1, direction="outbound"))

    assert (answer.data["status"], answer.data["reopened"]) == ("counted", False)
    assert (thread(cast).state, thread(cast).message_count) == (State.RESOLVED, 2)
    invariants.assert_all(cast)


def test_a_message_of_before_that_comes_again_reopens_nothing(cast: Cast) -> None:
    resolved(cast)

    with witness.untouched(cast):
        answer = send(cast, told(cast, "first"))

    assert answer.data["status"] == "duplicate"


def test_who_holds_a_conversation_keeps_it_when_the_customer_writes_on(cast: Cast) -> None:
    row = witness.held(cast, cast.olga)

    send(cast, told(cast, external_conversation_id=row.external_conversation_id, customer_phone_number=row.customer_phone_number))

    after = cast.again(row)
    assert (after.state, after.assigned_operator_id, after.message_count) == (State.ALLOCATED, cast.olga.pk, row.message_count + 1)
    invariants.assert_all(cast)


def test_in_a_batch_what_is_bad_stops_no_other_and_what_comes_twice_counts_once(cast: Cast) -> None:
    good, other = told(cast, "a"), told(cast, "b", external_conversation_id="thread 2")
    future = told(cast, "c", minutes_ago=-6)

    answer = send(
        cast, good, told(cast, "x", inbox=987_654_321), "no object", future, good, other, {"message_id": 5}, told(cast, "d", text="Hi")
    )

    assert answer.status == 200
    assert [(one["index"], one["status"], one["code"]) for one in answer.data] == [
        (0, "created", None),
        (1, "refused", "not_found"),
        (2, "refused", "validation_failed"),
        (3, "refused", "sent_in_the_future"),
        (4, "duplicate", None),
        (5, "created", None),
        (6, "refused", "validation_failed"),
        (7, "refused", "validation_failed"),
    ]
    assert answer.data[3]["errors"] == [{"field": "sent_at", "message": '"sent_at" must be at most 5 minutes from now'}]
    assert answer.data[7]["errors"] == [{"field": "text", "message": '"text" is not allowed'}]
    assert answer.data[4]["conversation_id"] == answer.data[0]["conversation_id"]
    assert (thread(cast).message_count, thread(cast, "thread 2").message_count) == (1, 1)
    invariants.assert_all(cast)


def test_a_batch_of_nothing_but_bad_ones_says_of_each_why(cast: Cast) -> None:
    with witness.untouched(cast):
        answer = send(cast, {}, None)

    assert answer.status == 200
    assert [one["status"] for one in answer.data] == ["refused", "refused"]


def test_what_is_bad_alone_is_an_error_of_its_own(cast: Cast) -> None:
    with witness.untouched(cast):
        answers = [
            send(cast, told(cast, inbox=987_654_321)),
            send(cast, told(cast, inbox="+12025559999")),
            send(cast, told(cast, minutes_ago=-6)),
            send(cast, told(cast, direction="sideways")),
            send(cast, told(cast, sent_at="yesterday")),
            send(cast, told(cast, inbox=True)),
            send(cast, told(cast, message_id="x" * 257)),
            send(cast, told(cast, message_id="a\0b")),
        ]

    assert [(answer.status, answer.body["code"]) for answer in answers] == [
        (404, "not_found"),
        (404, "not_found"),
        (400, "sent_in_the_future"),
        *[(400, "validation_failed")] * 5,
    ]


NO_INBOX = [None, "", " ", 0, -1, 1.5, 5.0, True, False, [], [1], {}, {"id": 1}, 2**63, 1e308, "1\0", "9" * 41, "9" * 5000]
NOBODYS = [987_654_321, "987654321", "abc", "1e3", "0x10", "1_0", "\N{ARABIC-INDIC DIGIT FIVE}", "\U0001f4a3", "9" * 40, "' OR 1=1 --"]


def test_what_names_no_inbox_is_400_and_what_names_nobodys_is_404(cast: Cast) -> None:
    with witness.untouched(cast):
        unread = [send(cast, told(cast, inbox=name)) for name in NO_INBOX]
        unknown = [send(cast, told(cast, inbox=name)) for name in NOBODYS]

    assert [(answer.status, list(answer.fields)) for answer in unread] == [(400, ["inbox"])] * len(NO_INBOX)
    assert [(answer.status, answer.body["code"]) for answer in unknown] == [(404, "not_found")] * len(NOBODYS)


def test_a_clock_that_is_a_little_ahead_is_borne(cast: Cast) -> None:
    assert send(cast, told(cast, minutes_ago=-4)).status == 201
    invariants.assert_all(cast)


@pytest.mark.parametrize("size", [0, ingest.MOST + 1])
def test_a_batch_of_none_or_of_too_many_is_400(cast: Cast, api: type[Api], size: int) -> None:
    with witness.untouched(cast):
        answer = api(cast.ada).post("/ingest/messages", messages=[told(cast, f"m{n}") for n in range(size)])

    assert (answer.status, list(answer.fields)) == (400, ["messages"])


def test_a_batch_of_the_most(cast: Cast, api: type[Api]) -> None:
    messages = [told(cast, f"m{n}", external_conversation_id=f"thread {n % 50}") for n in range(ingest.MOST)]

    answer = api(cast.ada).post("/ingest/messages", messages=messages)

    assert answer.body["message"] == "500 of 500 messages counted"
    assert answer.body["meta"]["created"] == 50
    assert thread(cast, "thread 7").message_count == 10


@pytest.mark.parametrize("spelled", ["{number}", "{digits}", "00{digits}", "%2B{digits}", "{id}"])
def test_an_inbox_is_named_by_its_id_or_by_its_number_in_any_spelling(cast: Cast, spelled: str) -> None:
    number = cast.support.phone_number
    name = spelled.format(number=number, digits=number[1:], id=cast.support.pk)

    assert send(cast, told(cast, inbox=name)).status == 201
    assert thread(cast).inbox_id == cast.support.pk


def test_a_conversation_keeps_its_inbox_and_its_number_and_says_so(cast: Cast) -> None:
    send(cast, told(cast, "a", customer_phone_number="+1 (202) 555-0123"))

    same = send(cast, told(cast, "b", customer_phone_number="001 202 555 0123"))
    other = send(cast, told(cast, "c", customer_phone_number="+12025550124", inbox=cast.sales.pk))

    assert (same.data["kept"], other.data["kept"]) == ([], ["inbox", "customer_phone_number"])
    assert (thread(cast).inbox_id, thread(cast).customer_phone_number, thread(cast).message_count) == (cast.support.pk, NUMBER, 3)


def test_neighbours_may_use_the_same_ids(cast: Cast, neighbours: Cast) -> None:
    with witness.untouched(neighbours):
        assert send(cast, told(cast)).status == 201

    assert send(neighbours, told(neighbours)).status == 201
    assert thread(cast).pk != thread(neighbours).pk


def test_another_tenants_inbox_in_a_batch_is_noted(cast: Cast, neighbours: Cast, caplog: pytest.LogCaptureFixture) -> None:
    answer = send(cast, told(cast, "a", inbox=neighbours.support.pk), told(cast, "b", inbox=987_654_321))

    assert [one["code"] for one in answer.data] == ["not_found", "not_found"]
    assert [record.getMessage().count("another_tenants") for record in caplog.records if "authz_fail" in record.getMessage()] == [1]


def test_an_api_key_needs_the_scope_and_acts_as_an_admin(cast: Cast) -> None:
    statuses = {}
    for name, acts_as, scopes in (
        ("right", cast.ada, ["messages:write"]),
        ("scope", cast.ada, ["labels:write"]),
        ("role", cast.mia, ["messages:write"]),
    ):
        with isolation.act_as(cast.tenant.pk):
            _, text = api_keys.make(name, acts_as=acts_as.pk, scopes=scopes, days=1, by=cast.ada)
        caller = Api(None)
        caller.headers = {"Authorization": f"Bearer {text}"}
        answer = caller.post("/ingest/messages", **told(cast))
        statuses[name] = (answer.status, answer.body.get("code"))

    assert statuses == {"right": (201, None), "scope": (403, "scope_missing"), "role": (403, "role_too_low")}


def test_a_signed_delivery_counts_and_its_second_attempt_is_a_duplicate(cast: Cast) -> None:
    sender, body = program(cast, acts_as=cast.ada, scopes=["messages:write"]), orjson.dumps({"messages": [told(cast)]})

    answers = [signed("/ingest/messages", body, sender.headers(body)) for _ in range(2)]

    assert [answer.data[0]["status"] for answer in answers] == ["created", "duplicate"]


# --- customers who are forgotten -------------------------------------------------------------------


def test_a_message_of_a_forgotten_customer_is_known_again_and_its_id_is_not_kept(cast: Cast) -> None:
    message = told(cast, "wamid.HBgLMTIwMjU1NTAxMjM")
    first = send(cast, message)
    erasure.erase_contact(cast.tenant.pk, NUMBER)

    with witness.untouched(cast):
        answers = [send(cast, message), send(cast, message, message)]

    assert answers[0].data["status"] == "duplicate"
    assert {one["conversation_id"] for one in answers[1].data} == {first.data["conversation_id"]}
    with isolation.act_as(cast.tenant.pk):
        assert [row.message_id[:7] for row in ReceivedMessage.objects.all()] == ["erased-"]
    invariants.assert_all(cast)


def test_so_it_is_under_the_next_key(cast: Cast, settings: Any) -> None:
    message = told(cast)
    send(cast, message)
    erasure.erase_contact(cast.tenant.pk, NUMBER)

    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-" * 8

    assert send(cast, message).data["status"] == "duplicate"


def test_a_new_message_of_a_forgotten_customer_opens_a_new_conversation(cast: Cast) -> None:
    send(cast, told(cast))
    old = thread(cast)
    erasure.erase_contact(cast.tenant.pk, NUMBER)

    answer = send(cast, told(cast, "SM2"))

    assert (answer.data["status"], answer.data["conversation_id"] != old.pk) == ("created", True)
    assert (thread(cast).customer_phone_number, thread(cast).message_count) == (NUMBER, 1)
    assert cast.again(old).message_count == 1
    with witness.untouched(cast):
        assert send(cast, told(cast)).data["conversation_id"] == old.pk  # the old one again, now that its thread is another's
    invariants.assert_all(cast)


def test_events_of_messages_name_nobody(cast: Cast) -> None:
    send(cast, told(cast, "wamid.HBgLMTIwMjU1NTAxMjM", external_conversation_id=f"whatsapp:{NUMBER}"))

    with isolation.act_as(cast.tenant.pk):
        text = str([(event.before, event.after, event.cause) for event in Event.objects.all()])

    assert NUMBER[1:] not in text
    assert "wamid" not in text

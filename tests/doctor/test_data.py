"""Every invariant is seen broken, on a row that was changed past the product, and whole again after --fix or by hand."""

import json
from typing import NamedTuple

import pytest

from conversations import allocation, grace
from conversations.doctor import examination, remedies
from conversations.doctor.findings import Verdict, worst
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.models import Status
from tenants import eventlog, isolation
from tenants.models import Event, Tenant
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.doctor.conftest import as_it_was, break_it, found

OLGAS = "(SELECT id FROM conversations WHERE assigned_operator_id = {olga})"
HISTORY = "UPDATE presence_periods SET status = '{status}' WHERE ended_at IS NULL AND operator_id = {who}"
WAITING = "(SELECT id FROM conversations WHERE state = 'QUEUED')"
EVENT = (
    "INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, cause, before, after, request_id)"
    " SELECT tenant_id, '{kind}', 'conversation', id, id, '', '{before}', '{after}', '' FROM conversations WHERE state = '{state}'"
)

ASKED = (
    "INSERT INTO idempotency_keys (tenant_id, operator_id, operation, digest, question, status, headers, sealed, expires_at)"
    " SELECT tenant_id, id, 'label-create', 'x', 'x', {status}, '{{{{}}}}', '{sealed}', now() + interval '{end}'"
    " FROM operators WHERE id = {{olga}}"
)


class Break(NamedTuple):
    """How a house is broken, and which invariants see it."""

    statement: str
    seen_by: set[str]


def event(state: str, kind: str, before: str, after: str) -> str:
    told = EVENT.format(state=state, kind=kind, before=before, after=after)
    return told.replace("{", "{{").replace("}", "}}")


TO_MEND = {
    "an operator who vanished with the work": Break(
        "UPDATE operator_status SET status = 'OFFLINE' WHERE operator_id = {olga};" + HISTORY.format(status="OFFLINE", who="{olga}"),
        {"no_grace"},
    ),
    "an operator who is back, and whose deadline runs on": Break(
        "UPDATE operator_status SET status = 'AVAILABLE' WHERE operator_id = {otto};"
        + HISTORY.format(status="AVAILABLE", who="{otto}")
        + "; UPDATE events SET after = jsonb_set(after, '{{status}}', '\"AVAILABLE\"') WHERE kind = 'operator.status_changed'",
        {"grace_of_the_present"},
    ),
    "a deadline of another's work": Break("UPDATE grace_period_assignments SET conversation_id = " + OLGAS, {"pointless_grace"}),
    "a deadline of nothing, and none where it should be": Break(
        "UPDATE grace_period_assignments SET assignment_id = (SELECT id FROM assignments WHERE operator_id = {olga})",
        {"pointless_grace", "no_grace"},
    ),
    "a deadline that nobody kept": Break(
        "UPDATE grace_period_assignments SET opened_at = now() - interval '1 hour', expires_at = now() - interval '3 minutes'", {"overdue"}
    ),
    "a silence that nobody heard": Break(
        "UPDATE tenants SET lease_seconds = 30, leases_from = now() - interval '1 hour';"
        "UPDATE operator_status SET seen_at = now() - interval '151 seconds' WHERE operator_id <> {ada};"
        "UPDATE operator_status SET last_status_change_at = last_status_change_at - interval '1 hour' WHERE operator_id <> {ada};"
        "UPDATE presence_periods SET started_at = started_at - interval '1 hour', ended_at = ended_at - interval '1 hour'"
        " WHERE operator_id <> {ada}",
        {"unheard"},
    ),
    "an account that was closed by hand": Break("UPDATE operators SET is_active = false WHERE id = {olga}", {"closed_accounts"}),
    "messages that count nothing": Break("UPDATE conversations SET credit = credit + 1 WHERE id = " + WAITING, {"ranks"}),
    "a place in the queue that is not its own": Break("UPDATE conversations SET rank = rank - 1 WHERE id = " + WAITING, {"ranks"}),
    "another beginning of the wait": Break(
        "UPDATE conversations SET waits_from = waits_from - interval '1 day' WHERE id = " + WAITING, {"ranks", "late_ranks"}
    ),
    "a flag before its time": Break("UPDATE conversations SET saturated = true, rank = -credit WHERE id = " + WAITING, {"ranks"}),
    "weights of tomorrow": Break("UPDATE conversations SET ranked_under = 2 WHERE id = " + WAITING, {"ranks"}),
    "weights of yesterday": Break("UPDATE tenants SET weights_version = 2", {"late_ranks"}),
}
TO_LOOK_AT = {
    "allocated without an assignment": Break(
        "UPDATE assignments SET ended_at = now(), end_reason = 'resolved' WHERE operator_id = {olga}", {"holders"}
    ),
    "an assignment of what waits": Break(
        "INSERT INTO assignments (tenant_id, conversation_id, operator_id, source, started_at, score_at_start, waited_seconds_at_start)"
        " SELECT tenant_id, id, {olga}, 'auto', now(), 0, 0 FROM conversations WHERE state = 'QUEUED'",
        {"holders"},
    ),
    "two who hold it": Break("UPDATE assignments SET operator_id = {mia} WHERE operator_id = {olga}", {"holders"}),
    "an operator without a status": Break("DELETE FROM operator_status WHERE operator_id = {ada}", {"statuses"}),
    "a status that its history does not know": Break("UPDATE operator_status SET status = 'AWAY' WHERE operator_id = {ada}", {"history"}),
    "a history that goes on where it has ended": Break(
        "UPDATE presence_periods SET ended_at = now() WHERE operator_id = {ada}", {"history"}
    ),
    "more than the operator may hold": Break("UPDATE operators SET capacity = 0 WHERE id = {olga}", {"capacity"}),
    "more than of one inbox": Break("UPDATE operator_inbox_subscriptions SET capacity = 0 WHERE operator_id = {olga}", {"capacity"}),
    "an inbox that everybody left": Break("DELETE FROM operator_inbox_subscriptions", {"nobody_answers"}),
    "a customer who should have been forgotten": Break(
        "UPDATE conversations SET state = 'RESOLVED', resolved_at = now() - interval '49 hours', created_at = now() - interval '3 days'"
        " WHERE id = " + WAITING + "; UPDATE tenants SET resolved_conversations_days = 1",
        {"kept_too_long", "fold"},
    ),
    "a key that was kept without its answer": Break(ASKED.format(status="NULL", sealed="", end="1 day"), {"keys"}),
    "keys that nobody sweeps": Break(ASKED.format(status="200", sealed="sealed", end="-25 hours"), {"keys_swept"}),
    "a label of another inbox": Break(
        "INSERT INTO conversation_labels (tenant_id, conversation_id, label_id, inbox_id)"
        " SELECT tenant_id, (SELECT min(id) FROM conversations), id, inbox_id FROM labels",
        {"labels", "fold"},
    ),
    "a change that the log does not tell": Break(
        "UPDATE conversations SET version = version + 1 WHERE id = " + WAITING, {"versions", "fold"}
    ),
    "a version told twice": Break(event("QUEUED", "conversation.labelled", '{"version": 1}', '{"version": 1}'), {"versions"}),
    "a version that is missing": Break(event("QUEUED", "conversation.labelled", '{"version": 1}', '{"version": 3}'), {"versions", "fold"}),
    "a conversation that was never created": Break(
        "UPDATE events SET kind = 'conversation.labelled' WHERE kind = 'conversation.created' AND subject_id = " + WAITING, {"versions"}
    ),
    "a conversation without a log": Break(
        "DELETE FROM events WHERE subject_type = 'conversation' AND subject_id = " + WAITING, {"versions"}
    ),
    "a log without a conversation": Break("UPDATE events SET subject_id = 999999999 WHERE subject_id = " + WAITING, {"versions"}),
    "a column that the log does not tell": Break(
        "UPDATE conversations SET message_count = 7 WHERE id = " + WAITING, {"fold", "ranks", "messages"}
    ),
    "a message that nobody counted": Break(
        "INSERT INTO received_messages (tenant_id, provider, message_id, conversation_id, direction, sent_at, episode)"
        " SELECT tenant_id, 'default', 'lost', id, 'inbound', last_message_at, 1 FROM conversations WHERE state = 'QUEUED'",
        {"messages"},
    ),
    "a time of the last message that is no message's": Break(
        "UPDATE conversations SET last_message_at = last_message_at + interval '1 second' WHERE id = " + WAITING,
        {"fold", "ranks", "messages"},
    ),
    "a holder that the log does not tell": Break(
        "UPDATE events SET after = after - 'assigned_operator_id', before = before - 'assigned_operator_id'"
        " WHERE kind = 'conversation.claimed'",
        {"fold"},
    ),
    "an event that begins elsewhere": Break(
        "UPDATE events SET before = jsonb_set(before, '{{version}}', '7') WHERE kind = 'conversation.claimed'", {"fold"}
    ),
    "a deadline that nobody told of": Break("DELETE FROM events WHERE kind = 'grace.opened'", {"grace_told"}),
    "a deadline told twice": Break(
        "INSERT INTO events (tenant_id, kind, subject_type, subject_id, cause, before, after, request_id)"
        " SELECT tenant_id, kind, subject_type, subject_id, cause, before, after, request_id FROM events WHERE kind = 'grace.opened'",
        {"grace_told"},
    ),
    "a log without its grace period": Break("UPDATE events SET subject_id = 999999999 WHERE kind = 'grace.opened'", {"grace_told"}),
    "a status that the log does not tell": Break("DELETE FROM events WHERE kind = 'operator.status_changed'", {"presence"}),
    "another status than the log tells": Break(
        "UPDATE events SET after = '{{\"status\": \"AWAY\"}}' WHERE kind = 'operator.status_changed'", {"presence"}
    ),
    "a change of status that begins elsewhere": Break(
        "UPDATE events SET before = '{{\"status\": \"AWAY\"}}' WHERE kind = 'operator.status_changed'", {"presence"}
    ),
    "a gap in a history": Break(
        "UPDATE presence_periods SET started_at = started_at - interval '1 minute', ended_at = ended_at - interval '1 second'"
        " WHERE ended_at IS NOT NULL",
        {"presence"},
    ),
    "a move that does not exist": Break("UPDATE events SET kind = 'conversation.moved' WHERE kind = 'conversation.claimed'", {"moves"}),
}


def smash(house: Cast, broken: Break) -> None:
    people = {"olga": house.olga.pk, "otto": house.otto.pk, "mia": house.mia.pk, "ada": house.ada.pk}
    break_it(house, broken.statement.format(**people))


def events_of(house: Cast) -> int:
    with isolation.act_as(house.tenant.pk):
        return Event.objects.count()


def test_a_house_at_work_is_well(house: Cast) -> None:
    assert found(house) == {}
    invariants.assert_all(house)


@pytest.mark.parametrize("how", TO_MEND)
def test_what_can_be_mended_is_seen_and_mended_once_with_events(how: str, house: Cast) -> None:
    smash(house, TO_MEND[how])
    assert found(house).keys() == TO_MEND[how].seen_by
    before = events_of(house)

    mended = remedies.mend(examination.examine([house.tenant.pk]))

    assert (mended.done != [], mended.left) == (True, [])
    assert found(house) == {}
    after = events_of(house)
    assert after > before
    assert remedies.mend(examination.examine([house.tenant.pk])) == ([], [])
    assert events_of(house) == after
    invariants.assert_all(house)


def test_a_remedy_looks_again_and_leaves_alone_what_is_well_by_now(house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        period = GracePeriod.objects.get()
    before = events_of(house)

    stale = {
        remedies.send_home: house.olga.pk,
        remedies.close_pointless: period.pk,
        remedies.welcome_back: house.otto.pk,
        remedies.open_grace: house.olga.pk,
        remedies.expire: period.pk,
        remedies.catch_up: 1,
    }
    assert [remedy(house.tenant, id_) for remedy, id_ in stale.items()] == [0] * len(stale)

    assert events_of(house) == before
    assert found(house) == {}


def test_every_invariant_is_seen_broken_by_some_test() -> None:
    seen = set().union(*(broken.seen_by for broken in [*TO_MEND.values(), *TO_LOOK_AT.values()]))

    assert seen | {"taken", "early"} == {invariant.name for invariant in examination.asked(quick=False)}


@pytest.mark.parametrize("how", TO_LOOK_AT)
def test_what_a_person_must_look_at_is_seen_left_alone_and_gone_once_it_is_put_right(how: str, house: Cast) -> None:
    house.label(inbox=house.sales)
    with as_it_was(house):
        smash(house, TO_LOOK_AT[how])
        assert found(house).keys() == TO_LOOK_AT[how].seen_by
        before = events_of(house)

        remedies.mend([finding for name, finding in found(house).items() if name != "ranks"])

        assert found(house).keys() == TO_LOOK_AT[how].seen_by
        assert events_of(house) == before
    assert found(house) == {}


@pytest.mark.parametrize(("who", "seen"), [("a manager", set()), ("the clock", {"early"})])
def test_a_deadline_that_was_not_waited_for_is_well_only_on_a_managers_word(who: str, seen: set[str], house: Cast) -> None:
    with isolation.act_as(house.tenant.pk), eventlog.caused_by(house.mia.pk if who == "a manager" else None):
        grace.expire_now(GracePeriod.objects.get().pk, house.tenant, by=house.mia)

    assert found(house).keys() == seen


def test_work_that_the_clock_took_from_an_operator_who_was_back_is_seen(house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        for status in (Status.AWAY, Status.AVAILABLE):
            grace.change_status(house.olga.pk, status, house.tenant)
    assert found(house) == {}

    before = json.dumps({"assigned_operator_id": house.olga.pk, "state": "ALLOCATED", "version": 2})
    after = json.dumps({"assigned_operator_id": None, "state": "QUEUED", "version": 3})
    break_it(house, event("ALLOCATED", "conversation.requeued", before, after).format())

    assert "taken" in found(house)


def test_more_than_the_tenant_lets_anybody_hold_is_a_warning_and_stays_with_its_holder(house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        allocation.claim(house.olga.pk, Conversation.objects.get(state=State.QUEUED).pk)
        Tenant.objects.update(operator_capacity=1)

    finding = found(house)["capacity"]

    assert (finding.verdict, finding.tenants) == (Verdict.WARN, {house.tenant.pk: (1, [house.olga.pk])})


def test_every_stretch_of_a_long_log_is_read_and_every_tenant_told_apart(house: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "STRETCH", dict.fromkeys(examination.STRETCH, 2))
    next_door = assemble()
    for cast, rows in ((house, 5), (next_door, 4)):
        for _ in range(rows):
            cast.conversation()
    heard: list[int] = []

    both = [house.tenant.pk, next_door.tenant.pk]
    assert worst(examination.examine(both, progress=heard.append)) == Verdict.OK
    for cast in (house, next_door):
        break_it(cast, "UPDATE conversations SET version = version + 1")

    by_name = {finding.name: finding for finding in examination.examine(both)}
    assert sum(heard) == 3 + 5 + 4
    assert [offenders.number for offenders in by_name["versions"].tenants.values()] == [8, 4]
    assert [len(offenders.ids) for offenders in by_name["versions"].tenants.values()] == [5, 4]
    assert by_name["versions"].count == 12


def test_a_tenant_that_cannot_be_asked_is_a_failure_that_says_so(house: Cast) -> None:
    break_it(house, "UPDATE events SET before = '[]' WHERE kind = 'conversation.claimed'")

    finding = found(house)["fold"]

    assert finding.verdict == Verdict.FAIL
    assert f"tenant {house.tenant.pk} could not be asked" in finding.message

"""A customer forgotten: nowhere is their number left, the conversation goes on, and who has the number can still find what was theirs."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Q

from conversations import allocation, erasure, grace, labelling, lifecycle
from conversations.contacts import Contact
from conversations.errors import NumberOfAnInbox
from conversations.lifecycle import Override
from conversations.models import STAND_IN, Conversation
from conversations.states import State
from operators.models import Status
from tenants import eventlog, isolation
from tenants.models import Event, Inbox, Tenant
from tests.conftest import Cast
from tests.conversations import invariants
from tests.tenants.specimens import OWNED_TABLES

NUMBER, DIGITS = "+12025550123", "2025550123"
SPELLED = ["+12025550123", "+1 (202) 555-0123", "1-202-555-0123", "001.202.555.0123", "202 555 0123", "(202) 555-0123", "%2B12025550123"]
PRIVACY = Path(__file__).resolve().parents[2] / "docs" / "privacy.md"
TEXT_COLUMNS = """
    SELECT table_name || '.' || column_name FROM information_schema.columns
     WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'character', 'json', 'jsonb', 'bytea', 'ARRAY', 'xml')
       AND table_name NOT IN ('django_migrations', 'django_content_type', 'auth_permission', 'auth_group')
"""


def standing(cast: Cast, digits: str = DIGITS) -> list[str]:
    """The tables of a tenant in whose rows these digits stand, whatever stands between them."""
    found = []
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        for table in [*OWNED_TABLES, "tenants", "django_admin_log"]:
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE regexp_replace(t::text, '[ ().-]', '', 'g') LIKE %s", [f"%{digits}%"])
            if cursor.fetchone() != (0,):
                found.append(table)
    return found


def decisions() -> dict[str, str]:
    """What docs/privacy.md decides of each column that can hold text."""
    return dict(re.findall(r"^\| `(\w+\.\w+)` \| .* \| (\w+) \|$", PRIVACY.read_text(), re.MULTILINE))


def noted(cast: Cast, spelled: str = NUMBER) -> Conversation:
    """A conversation of the customer's with a life behind it, in which people have named the number wherever they can write."""
    row: Conversation = cast.conversation(customer_phone_number=NUMBER, external_conversation_id=f"whatsapp:{spelled}:{cast.tenant.pk}")
    label = cast.label(name=f"call {spelled}")
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk, f"retry-{NUMBER[1:]}"):
        labelling.attach(row.pk, label.pk)
        allocation.assign(cast.olga.pk, row.pk, override=Override(force=True, reason=f"{spelled} asked for her"))
        lifecycle.reassign(row.pk, cast.otto.pk, override=Override(reason="an angry Mr. Miller"))
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant, reason=f"visits {spelled}")
        lifecycle.deallocate(row.pk, by=cast.mia, cause=f"call {spelled} back")
        LogEntry.objects.create(
            user_id=cast.mia.pk,
            content_type=ContentType.objects.get_for_model(Inbox),
            object_id="1",
            object_repr=f"call {spelled}",
            action_flag=CHANGE,
            change_message=f'[{{"changed": {{"name": "{spelled}"}}}}]',
        )
    return row


def causes(row: Conversation) -> dict[str, str]:
    return {event.kind: event.cause for event in invariants.timeline(row)}


def test_a_new_column_of_text_needs_a_decision(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TEXT_COLUMNS)
        columns = {name for (name,) in cursor.fetchall()}

    assert decisions().keys() == columns, (
        "Can a customer's number stand there? Decide it in docs/privacy.md, and keep it in conversations.erasure"
    )
    assert set(decisions().values()) == {"erased", "words", "searched", "staff", "ours", "secret"}


def test_what_is_searched_is_what_the_list_says() -> None:
    searched = {f"{model._meta.db_table}.{column}" for model, columns in erasure.NOTES.items() for column in columns}

    assert searched | {"events.before", "events.after", "events.request_id"} == {
        name for name, decision in decisions().items() if decision == "searched"
    }


@pytest.mark.parametrize("spelled", SPELLED)
def test_of_a_forgotten_number_nothing_is_left_wherever_and_however_it_was_written(cast: Cast, spelled: str) -> None:
    noted(cast, spelled)
    before = standing(cast)

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    assert before == ["conversations", "events", "grace_period_assignments", "labels", "presence_periods", "django_admin_log"]
    assert standing(cast) == []
    invariants.assert_all(cast)


def test_the_conversation_goes_on(cast: Cast) -> None:
    row = noted(cast)
    waits = cast.again(row)

    contact, counts = erasure.erase_contact(cast.tenant.pk, NUMBER)

    erased = cast.again(row)
    kept = ("state", "inbox_id", "message_count", "waits_from", "credit", "rank", "created_at")
    assert [getattr(erased, name) for name in kept] == [getattr(waits, name) for name in kept]
    assert erased.customer_phone_number == contact.stand_in
    assert re.fullmatch(f"erased-{row.pk}-[0-9a-f]{{16}}", erased.external_conversation_id)
    assert counts.conversations == 1
    with isolation.act_as(cast.tenant.pk):
        assert allocation.allocate_next(cast.olga.pk, cast.tenant) == erased
        lifecycle.resolve(row.pk, by=cast.olga)
    assert cast.again(row).state == State.RESOLVED
    invariants.assert_all(cast)


def test_what_people_said_of_the_customers_own_conversations_is_gone_and_what_they_did_is_not(cast: Cast) -> None:
    row = noted(cast)
    with isolation.act_as(cast.tenant.pk):
        before = [(event.kind, event.actor_id, event.at) for event in invariants.timeline(row)]

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    with isolation.act_as(cast.tenant.pk):
        after = [(event.kind, event.actor_id, event.at) for event in invariants.timeline(row)]
        told = causes(row)
    assert after[:-1] == before
    assert (told["conversation.assigned"], told["conversation.reassigned"]) == ("forced: erased", "erased")
    assert (told["conversation.deallocated"], told["conversation.created"]) == ("erased", "")


def test_the_audit_tells_of_it_with_a_keyed_hash_and_the_counts(cast: Cast) -> None:
    row = noted(cast)

    with eventlog.caused_by(cast.ada.pk, "request-1"):
        contact, counts = erasure.erase_contact(cast.tenant.pk, NUMBER)

    with isolation.act_as(cast.tenant.pk):
        *_, last = invariants.timeline(row)
        whole = Event.objects.get(kind="contact.erased")
    assert (last.kind, last.cause) == ("conversation.erased", f"contact {contact.fingerprint}")
    told = {"customer_phone_number": contact.stand_in, "version": cast.again(row).version}
    assert last.after == told | {"external_conversation_id": cast.again(row).external_conversation_id}
    assert whole.after == {"contact": contact.fingerprint, "conversations": 1, "texts": counts.texts, "before": 0}
    assert (whole.actor_id, whole.request_id, last.actor_id) == (cast.ada.pk, "request-1", cast.ada.pk)


def test_who_has_the_number_finds_what_was_theirs_also_under_the_next_key(cast: Cast, settings: Any) -> None:
    noted(cast)
    erasure.erase_contact(cast.tenant.pk, NUMBER)

    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-" * 8
    found = [erasure.erase_contact(cast.tenant.pk, number, dry_run=True)[1].before for number in ("1 202 555 0123", "+12025550124")]

    assert found == [1, 0]


def test_without_the_key_or_in_another_tenant_the_same_number_is_somebody_else(cast: Cast, neighbours: Cast, settings: Any) -> None:
    ours, theirs = Contact.of(cast.tenant.pk, NUMBER), Contact.of(neighbours.tenant.pk, NUMBER)
    settings.SECRET_KEY = "another-" * 8
    other_key = Contact.of(cast.tenant.pk, NUMBER)

    assert len({ours.fingerprint, theirs.fingerprint, other_key.fingerprint}) == 3
    assert len({ours.stand_in, theirs.stand_in, other_key.stand_in}) == 3


@pytest.mark.parametrize("spelled", [*SPELLED[:4], "12025550123", "%2B12025550123"])
def test_a_contact_is_the_same_however_the_number_is_spelled(cast: Cast, spelled: str) -> None:
    assert Contact.of(cast.tenant.pk, spelled)[2:] == Contact.of(cast.tenant.pk, NUMBER)[2:]


def test_a_stand_in_has_the_form_of_a_number_and_is_found_like_one(cast: Cast, api: Any) -> None:
    row = noted(cast)
    contact, _ = erasure.erase_contact(cast.tenant.pk, NUMBER)

    found = [api(cast.mia).post("/conversations/search", phone_number=number).data for number in (contact.stand_in, NUMBER)]

    assert re.fullmatch(r"\+999[0-9]{12}", contact.stand_in)
    assert [[one["id"] for one in rows] for rows in found] == [[row.pk], []]


def test_a_second_time_nothing_is_left_and_that_is_told(cast: Cast) -> None:
    row = noted(cast)
    erasure.erase_contact(cast.tenant.pk, NUMBER)
    first = cast.again(row)

    _, counts = erasure.erase_contact(cast.tenant.pk, NUMBER)

    assert counts == erasure.Counts(before=1)
    assert cast.again(row).version == first.version
    with isolation.act_as(cast.tenant.pk):
        told = list(Event.objects.filter(kind="contact.erased").order_by("id").values_list("after", flat=True))
    assert [(after["conversations"], after["before"]) for after in told] == [(1, 0), (0, 1)]


def test_a_stand_in_is_nobody_who_could_be_forgotten(cast: Cast) -> None:
    row = noted(cast)
    contact, _ = erasure.erase_contact(cast.tenant.pk, NUMBER)

    erasure.erase_contact(cast.tenant.pk, contact.stand_in)

    assert cast.again(row).customer_phone_number == contact.stand_in


def test_a_rehearsal_counts_and_changes_nothing(cast: Cast) -> None:
    row = noted(cast)
    with isolation.act_as(cast.tenant.pk):
        before = list(Event.objects.order_by("pk").values())

    _, rehearsed = erasure.erase_contact(cast.tenant.pk, NUMBER, dry_run=True)

    with isolation.act_as(cast.tenant.pk):
        assert list(Event.objects.order_by("pk").values()) == before
    assert cast.again(row).customer_phone_number == NUMBER
    assert rehearsed.conversations == 1
    assert rehearsed.texts >= erasure.erase_contact(cast.tenant.pk, NUMBER)[1].texts > 0


def test_a_customer_with_many_conversations_is_forgotten_round_by_round(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "ROUND", 2)
    monkeypatch.setattr(erasure, "WINDOW", 3)
    for _ in range(5):
        cast.conversation(customer_phone_number=NUMBER)
    noted(cast)
    heard: list[int] = []

    expected = erasure.size(cast.tenant.pk)
    contact, counts = erasure.erase_contact(cast.tenant.pk, NUMBER, progress=heard.append)

    assert (counts.conversations, standing(cast)) == (6, [])
    assert max(heard) == 3
    assert sum(heard) == expected + 6  # the erasures' own events
    with isolation.act_as(cast.tenant.pk):
        assert Conversation.objects.filter(customer_phone_number=contact.stand_in).count() == 6
    invariants.assert_all(cast)


def test_others_keep_their_numbers_and_their_words(cast: Cast, neighbours: Cast) -> None:
    noted(cast)
    noted(neighbours)
    other = cast.conversation(customer_phone_number="+12025550124", external_conversation_id="a 92025550123 b")
    with isolation.act_as(cast.tenant.pk):
        lifecycle.resolve(allocation.claim(cast.olga.pk, other.pk).pk, by=cast.olga)
        eventlog.append("x", other, after={"seen": "2025-55-01T23", "id": 2025550123, "nine": "92025550123", "more": "20255501234"})
        before = list(Event.objects.filter(subject_id=other.pk, subject_type="conversation").values())

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    with isolation.act_as(cast.tenant.pk):
        assert list(Event.objects.filter(subject_id=other.pk, subject_type="conversation").values()) == before
    assert cast.again(other).external_conversation_id == "a 92025550123 b"
    assert standing(neighbours) == ["conversations", "events", "grace_period_assignments", "labels", "presence_periods", "django_admin_log"]


def test_a_time_is_no_number_whatever_its_digits(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        eventlog.append("x", cast.tenant, after={"at": "2026-01-05T12:00:00.000000Z", "note": "20260105"})

    erasure.erase_contact(cast.tenant.pk, "+4920260105")

    with isolation.act_as(cast.tenant.pk):
        after = Event.objects.get(kind="x").after
    assert (after["at"], after["note"][:4]) == ("2026-01-05T12:00:00.000000Z", STAND_IN)


@pytest.mark.parametrize("number", ["55512", "BANK"])
def test_who_is_no_number_is_forgotten_by_name_and_not_sought_in_texts(cast: Cast, number: str) -> None:
    row = cast.conversation(customer_phone_number=number)
    with isolation.act_as(cast.tenant.pk):
        eventlog.append("x", cast.tenant, cause=f"order {number}")

    _, counts = erasure.erase_contact(cast.tenant.pk, number)

    assert (counts.conversations, counts.texts) == (1, 0)
    assert cast.again(row).customer_phone_number.startswith(STAND_IN)


def test_the_number_of_an_inbox_is_no_customers(cast: Cast) -> None:
    with pytest.raises(NumberOfAnInbox):
        erasure.erase_contact(cast.tenant.pk, cast.support.phone_number)


# --- by the clock ---------------------------------------------------------------------------------


def resolved(cast: Cast, days_ago: float, **facts: Any) -> Conversation:
    """A conversation that Olga resolved so long ago, and released once before, with a reason."""
    row: Conversation = cast.conversation(**facts)
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, row.pk)
        lifecycle.release(row.pk, by=cast.olga, reason="a rude Mr. Miller")
        allocation.claim(cast.otto.pk, row.pk)
        done = lifecycle.resolve(row.pk, by=cast.otto)
        Conversation.objects.filter(pk=row.pk).update(resolved_at=done.resolved_at - timedelta(days=days_ago))  # type: ignore[operator]
    return row


def keeps(cast: Cast, days: int | None) -> None:
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(resolved_conversations_days=days)


def test_whose_conversation_was_resolved_long_ago_is_forgotten_by_the_clock(cast: Cast) -> None:
    old, young, open_ = resolved(cast, 31), resolved(cast, 29), cast.conversation()
    keeps(cast, 30)

    counts = erasure.erase_old()

    contact = Contact.of(cast.tenant.pk, old.customer_phone_number)
    assert counts == erasure.Counts(conversations=1, texts=1)
    assert cast.again(old).customer_phone_number == contact.stand_in
    assert [cast.again(row).customer_phone_number for row in (young, open_)] == [young.customer_phone_number, open_.customer_phone_number]
    with isolation.act_as(cast.tenant.pk):
        assert causes(old)["conversation.released"] == "erased"
        assert causes(young)["conversation.released"] == "a rude Mr. Miller"
        assert invariants.timeline(old)[-1].actor_id is None


def test_once_forgotten_is_not_forgotten_again(cast: Cast) -> None:
    resolved(cast, 31)
    keeps(cast, 30)

    assert [erasure.erase_old().conversations for _ in range(2)] == [1, 0]


@pytest.mark.parametrize("days", [None, 3650])
def test_a_tenant_without_a_time_and_one_with_a_long_one_keep_everybody(cast: Cast, days: int | None) -> None:
    resolved(cast, 3000)
    keeps(cast, days)

    assert erasure.erase_old() == erasure.Counts()


def test_the_clock_takes_one_round_after_another_and_stops_at_its_turns_end(cast: Cast, neighbours: Cast) -> None:
    for tenant in (cast, neighbours):
        keeps(tenant, 1)
        for _ in range(5):
            resolved(tenant, 2)

    assert erasure.erase_old(until=0) == erasure.Counts(left=2)
    assert erasure.erase_old(limit=2).conversations == 10


def test_a_tenant_with_much_to_forget_does_not_keep_another_waiting(cast: Cast, neighbours: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for tenant, many in ((cast, 6), (neighbours, 6)):
        keeps(tenant, 1)
        for _ in range(many):
            resolved(tenant, 2)
    turns: list[int] = []
    erase = erasure.erase

    def overheard(ids: list[int], still: Q, *, wait: bool) -> erasure.Counts:
        turns.append(isolation.current_tenant_id())
        return erase(ids, still, wait=wait)

    monkeypatch.setattr(erasure, "erase", overheard)

    erasure.erase_old(limit=2)

    assert {turns[0], turns[1]} == {turns[2], turns[3]} == {cast.tenant.pk, neighbours.tenant.pk}

"""The event log forgets what its tenant keeps no longer, and nothing else; who lost something by it is told."""

import os
from typing import Any

import psycopg
import pytest
from django.db import connection

from conversations import grace, labelling, lifecycle, retention
from conversations.doctor import examination
from conversations.models import Conversation
from operators import presence
from operators.models import Status
from tenants import eventlog, isolation
from tenants.models import Event, Tenant
from tests.conftest import Api, Cast, assemble
from tests.contract.witness import held, refusal, resolved, said
from tests.tenants.test_feed import wait_until_final


@pytest.fixture
def cast(committed: None) -> Cast:
    """A tenant that keeps events for a week. The owner makes them old, which needs a commit."""
    cast = assemble()
    keep(cast, 7)
    return cast


def keep(cast: Cast, days: int | None) -> None:
    """How long this tenant keeps events."""
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(events_kept_days=days)


def age(cast: Cast, days: float, **which: Any) -> None:
    """Make events so many days older, as nobody but the owner could."""
    with isolation.act_as(cast.tenant.pk):
        ids = list(Event.objects.filter(**which).values_list("pk", flat=True))
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"SET LOCAL app.tenant_id = '{cast.tenant.pk}'")
        owner.execute("UPDATE events SET at = at - %s * interval '1 day' WHERE id = ANY (%s)", [days, ids])


def told(cast: Cast, **which: Any) -> int:
    """How many events there are."""
    with isolation.act_as(cast.tenant.pk):
        return Event.objects.filter(**which).count()


def test_forgets_a_resolved_conversation_as_a_whole_once_its_last_event_is_old_enough(cast: Cast) -> None:
    old, recent = resolved(cast, cast.olga), resolved(cast, cast.olga)
    age(cast, 8)
    with isolation.act_as(cast.tenant.pk):
        eventlog.append("conversation.labelled", recent)  # something happened to it just now

    counts = retention.forget_events()

    assert (told(cast, conversation_id=old.pk), told(cast, conversation_id=recent.pk)) == (0, 4)
    assert counts["left"] == 0


@pytest.mark.parametrize("under_way", ["waits", "held", "kept by who is offline"])
def test_keeps_the_whole_timeline_of_what_is_under_way(cast: Cast, under_way: str) -> None:
    row = cast.conversation() if under_way == "waits" else held(cast, cast.otto)
    if under_way.startswith("kept"):
        with isolation.act_as(cast.tenant.pk):
            grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
    age(cast, 400)
    before = told(cast, conversation_id=row.pk)

    retention.forget_events()

    assert told(cast, conversation_id=row.pk) == before > 0
    assert told(cast, conversation_id=None) == 0


def test_forgets_the_rest_by_its_age(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        presence.change(cast.olga.pk, Status.AWAY)
    age(cast, 6.9)
    retention.forget_events()
    kept = told(cast, kind="operator.status_changed")
    age(cast, 0.2)

    retention.forget_events()

    assert (kept, told(cast, kind="operator.status_changed")) == (1, 0)


def test_forgets_nothing_where_the_tenant_says_nothing_and_nothing_of_others(cast: Cast) -> None:
    others = assemble()
    for tenant in (cast, others):
        resolved(tenant, tenant.olga)
        age(tenant, 5000)
    before = told(others)

    retention.forget_events()

    assert told(others) == before > 0
    assert told(cast) == 0


def test_goes_on_in_rounds_past_what_it_keeps(cast: Cast) -> None:
    under_way = [cast.conversation() for _ in range(3)]
    over = [resolved(cast, cast.olga) for _ in range(4)]
    age(cast, 30)

    counts = [retention.forget_events(limit=2) for _ in range(2)]

    assert counts == [{"events": 1 + 3 * len(over), "left": 0}, {"events": 0, "left": 0}], "the tenant's own beginning, too"
    assert told(cast) == len(under_way)


def test_what_somebody_is_at_work_on_waits_for_the_next_time(cast: Cast) -> None:
    row = resolved(cast, cast.olga)
    age(cast, 30)

    with psycopg.connect(os.environ["DATABASE_URL"]) as neighbour:
        neighbour.execute(f"SET LOCAL app.tenant_id = '{cast.tenant.pk}'")
        neighbour.execute("SELECT 1 FROM conversations WHERE id = %s FOR UPDATE", [row.pk])
        retention.forget_events()
        meanwhile = told(cast, conversation_id=row.pk)
    retention.forget_events()

    assert (meanwhile, told(cast, conversation_id=row.pk)) == (3, 0)


def test_the_doctor_misses_nothing_that_was_forgotten_and_still_sees_what_is_wrong(cast: Cast) -> None:
    row, label = held(cast, cast.otto), cast.label()
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)
        lifecycle.resolve(row.pk, by=cast.mia)
    under_way = held(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(under_way.pk, label.pk)
        labelling.retire(label)
    age(cast, 30)
    retention.forget_events()
    assert told(cast, conversation_id=row.pk) == 0

    found = [line for finding in examination.examine([cast.tenant.pk]) if not finding.is_fine for line in finding.as_lines()]
    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.filter(pk=under_way.pk).update(version=9)
    broken = {finding.name for finding in examination.examine([cast.tenant.pk]) if not finding.is_fine}

    assert found == []
    assert broken >= {"versions", "fold"}


def test_a_conversation_that_comes_back_goes_on_where_the_forgotten_ended(cast: Cast) -> None:
    row = resolved(cast, cast.olga)
    age(cast, 30)
    retention.forget_events()
    with isolation.act_as(cast.tenant.pk):  # as a message reopens it
        Conversation.objects.filter(pk=row.pk).update(state="QUEUED", resolved_at=None, version=4)
        eventlog.append("conversation.labelled", row, before={"version": 3}, after={"version": 4})

    findings = {finding.name: finding for finding in examination.examine([cast.tenant.pk])}

    assert findings["versions"].is_fine


def test_a_position_from_before_is_refused_with_where_to_go_on(cast: Cast) -> None:
    resolved(cast, cast.olga)
    wait_until_final(cast)
    with isolation.act_as(cast.tenant.pk):
        first, *_, last = Event.objects.order_by("transaction", "id")
    age(cast, 30)
    retention.forget_events()

    lost = Api(cast.ada).get(f"/events?after={eventlog.spell(eventlog.position(first))}")
    kept_from = lost.body["details"]["kept_from"]

    message = f"The log is not kept as far back as this position: go on from {kept_from}, and fetch anew what you keep a copy of"
    assert said(lost) == refusal(410, "position_expired", message, kept_from=kept_from)
    assert eventlog.parse(kept_from) == eventlog.position(last)
    assert Api(cast.ada).get(f"/events?after={kept_from}").status == 200
    assert Api(cast.ada).get("/events").status == 200, "from the beginning of what is kept"
    assert Api(cast.ada).get("/events?after=latest").status == 200


def test_what_is_forgotten_between_two_looks_is_seen_by_the_second(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep commits right before the page's events are read: an empty page would look as if nothing had happened."""
    resolved(cast, cast.olga)
    wait_until_final(cast)
    age(cast, 30)
    with isolation.act_as(cast.tenant.pk):
        first = Event.objects.order_by("transaction", "id").first()
    assert first is not None
    read = eventlog.read

    def swept(*args: Any, **options: Any) -> list[Event]:
        with psycopg.connect(os.environ["DATABASE_URL"]) as sweeper:
            sweeper.execute(f"SET LOCAL app.tenant_id = '{cast.tenant.pk}'")
            rows = sweeper.execute("SELECT id, conversation_id FROM events").fetchall()
            ids, conversations = [id_ for id_, _ in rows], list({row for _, row in rows if row})
            ((gone,),) = sweeper.execute("SELECT forget_events(%s, %s)", [ids, conversations]).fetchall()
            sweeper.execute("UPDATE tenants SET forgotten_transaction = %s, forgotten_id = %s", gone[1:])
        return read(*args, **options)

    monkeypatch.setattr(eventlog, "read", swept)
    answer = Api(cast.ada).get(f"/events?after={eventlog.spell(eventlog.position(first))}")

    assert (answer.status, answer.body["code"]) == (410, "position_expired")


@pytest.mark.parametrize("days", [None, 3650])
def test_the_function_decides_itself_whatever_it_is_handed(cast: Cast, days: int | None) -> None:
    resolved(cast, cast.olga)
    cast.conversation()
    age(cast, 30)
    keep(cast, days)
    before = told(cast)

    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute("SELECT forget_events(array_agg(id), array_remove(array_agg(DISTINCT conversation_id), NULL)) FROM events")
        ((gone, _, _),) = cursor.fetchone()

    assert (gone, told(cast)) == (0, before)


def test_no_event_is_removed_in_any_other_way(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk), pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM events")

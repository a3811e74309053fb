"""Every index has a query of the product's that reads it: an index that no query needs only costs, above all the pick."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory

from convalloc import clock
from conversations import allocation, erasure, expiry, grace, ingest, lifecycle, queue, statistics
from conversations.admin.conversations import ConversationPage
from conversations.admin.history import AssignmentPage, EventPage
from conversations.ingest import Message
from conversations.models import Assignment, Conversation, GracePeriod
from operators import repeats, sessions, signatures, signing_secrets, timesheet
from operators.models import Session
from tenants import deliveries, eventlog, isolation, webhooks
from tenants.models import Event
from tests.conftest import Api, Cast
from tests.conversations.test_plans import executed, indexes, nodes
from tests.conversations.test_walk_plans import Crowd, crowd  # noqa: F401  a fixture

Act = Callable[[Cast, Conversation], Any]
# Whoever holds something was assigned it, left, and keeps it for a while; a third of the rest was held once.
HISTORY = """
    INSERT INTO assignments (tenant_id, conversation_id, operator_id, source, started_at, ended_at, end_reason,
                             score_at_start, waited_seconds_at_start)
    SELECT tenant_id, id, coalesce(assigned_operator_id, %(olga)s), 'auto', last_message_at,
           CASE WHEN assigned_operator_id IS NULL THEN last_message_at + interval '1 hour' END,
           CASE WHEN assigned_operator_id IS NULL THEN 'deallocated' END, 0.5, 60
      FROM conversations WHERE assigned_operator_id IS NOT NULL OR mod(id, 3) = 0;
    INSERT INTO grace_period_assignments (tenant_id, assignment_id, conversation_id, operator_id, reason, opened_at, expires_at)
    SELECT tenant_id, id, conversation_id, operator_id, 'offline', now(), now() + id * interval '1 minute'
      FROM assignments WHERE ended_at IS NULL;
    INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, cause, before, after, request_id)
    SELECT tenant_id, 'conversation.allocated', 'conversation', conversation_id, conversation_id, '', '{}', '{}', '' FROM assignments;
    INSERT INTO events (tenant_id, kind, subject_type, subject_id, cause, before, after, request_id)
    SELECT tenant_id, 'operator.status_changed', 'operator', n, '', '{}', '{}', ''
      FROM operators, generate_series(1, 5000) n WHERE id = %(olga)s;
    INSERT INTO received_messages (tenant_id, provider, message_id, conversation_id, direction, sent_at, episode)
    SELECT tenant_id, 'default', id || ' ' || n, id, CASE WHEN mod(n, 2) = 0 THEN 'inbound' ELSE 'outbound' END, now(), 1
      FROM conversations, generate_series(1, 3) n
"""
# Otto has come and gone every ten minutes for months.
PRESENCE = """
    INSERT INTO presence_periods (tenant_id, operator_id, status, reason, started_at, ended_at)
    SELECT tenant_id, id, 'AWAY', '', now() - n * interval '10 minutes', now() - (n - 1) * interval '10 minutes'
      FROM operators, generate_series(1, 15000) n WHERE id = %(otto)s
"""
# Many programs sign, for him.
SIGNING = """
    WITH keys AS (
        INSERT INTO api_keys (tenant_id, name, operator_id, scopes, digest, created_by_id, expires_at)
        SELECT tenant_id, 'program', id, '[]', '', id, now() FROM operators, generate_series(1, 500) WHERE id = %(otto)s
        RETURNING tenant_id, id, operator_id
    ), secrets AS (
        INSERT INTO signing_secrets (tenant_id, api_key_id, sealed, created_by_id)
        SELECT tenant_id, id, 'sealed', operator_id FROM keys, generate_series(1, 5)
    )
    INSERT INTO seen_messages (tenant_id, api_key_id, message_id, signed_at)
    SELECT tenant_id, id, n, now() - n * interval '1 minute' FROM keys, generate_series(1, 20) n
"""
# She repeats nothing, but every question of hers could be repeated for a day.
REPEATS = """
    INSERT INTO idempotency_keys (tenant_id, operator_id, operation, digest, question, headers, sealed, expires_at)
    SELECT tenant_id, id, 'conversation-claim', n, '', '{}', '', now() + n * interval '10 seconds'
      FROM operators, generate_series(-200, 8600) n WHERE id = %(olga)s
"""
# Olga signs in a hundred times a day and Otto did once; a hundred of her sessions are over.
SESSIONS = """
    WITH sessions AS (
        INSERT INTO sessions (tenant_id, operator_id, expires_at, end_reason)
        SELECT tenant_id, id, now() + (n - 100) * interval '1 minute', ''
          FROM operators, generate_series(1, CASE id WHEN %(olga)s THEN 5000 ELSE 1 END) n WHERE id IN (%(olga)s, %(otto)s)
        RETURNING tenant_id, id
    )
    INSERT INTO refresh_tokens (tenant_id, session_id, digest, expires_at, used_at)
    SELECT tenant_id, id, '', now(), CASE WHEN n > 1 THEN now() END FROM sessions, generate_series(1, 4) n
"""
# Three webhooks have got all of it, but for the last, which waits.
WEBHOOKS = """
    WITH hooks AS (
        INSERT INTO webhooks (tenant_id, url, description, kinds, payload, sealed, former_sealed, stopped_because,
                              read_transaction, read_id)
        SELECT tenant_id, 'https://crm.example.com', '', '[]', 'thin', 'sealed', '', '', 0, 0
          FROM operators, generate_series(1, 3) WHERE id = %(otto)s
        RETURNING tenant_id, id
    )
    INSERT INTO webhook_deliveries (tenant_id, webhook_id, event_id, kind, state, due_at, lease, attempts, tries, ended_at)
    SELECT tenant_id, id, n, 'label.created', CASE n WHEN 1 THEN 'pending' ELSE 'delivered' END, now(), 1, 1, '[]',
           CASE WHEN n > 1 THEN now() - n * interval '1 minute' END
      FROM hooks, generate_series(1, 5000) n
"""


@pytest.fixture
def lived_in(crowd: Crowd) -> Crowd:  # noqa: F811  the fixture
    """Thirty thousand conversations with a history, and statistics."""
    with isolation.act_as(crowd.cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(HISTORY, {"olga": crowd.cast.olga.pk})
        cursor.execute(WEBHOOKS, {"otto": crowd.cast.otto.pk})
        cursor.execute(PRESENCE, {"otto": crowd.cast.otto.pk})
        cursor.execute(SIGNING, {"otto": crowd.cast.otto.pk})
        cursor.execute(REPEATS, {"olga": crowd.cast.olga.pk})
        cursor.execute(SESSIONS, {"olga": crowd.cast.olga.pk, "otto": crowd.cast.otto.pk})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")
    return crowd


def asked(path: str) -> Act:
    """A list of the API's, as a manager."""
    return lambda cast, row: Api(cast.mia).get(path.format(row=row, label=cast.label().pk)).data


def due_to_be_forgotten(cast: Cast) -> list[int]:
    """As erasure.erase_old asks, where nothing is kept for longer than a day."""
    cast.tenant.resolved_conversations_days = 1
    due = Conversation.objects.filter(erasure.due_in(cast.tenant, clock.now())).order_by("resolved_at", "pk")
    return list(due.values_list("pk", flat=True)[:500])


def told_of(cast: Cast, row: Conversation) -> list[ingest.Outcome]:
    """A message of a conversation that has some."""
    number, sent_at = row.customer_phone_number, clock.now()
    return ingest.receive(cast.tenant, [Message("new", row.external_conversation_id, row.inbox_id, number, "inbound", sent_at)])


def told_in_the_console(term: str) -> list[Event]:
    """What the console's audit finds."""
    page = EventPage(Event, admin.site)
    found, _ = page.get_search_results(RequestFactory().get("/"), Event.objects.order_by(*page.ordering), term)
    return list(found[:50])


NEEDED_BY: dict[str, Act] = {
    "conversation_by_rank": lambda cast, row: allocation.allocate_next(cast.olga.pk, cast.tenant),
    "conversation_by_waiting": lambda cast, row: queue.flag_saturated(cast.tenant, 100),
    "queue_by_weights": lambda cast, row: queue.late(cast.tenant),
    "held_by_operator": lambda cast, row: statistics.of_operators(),
    "conversation_by_time": lambda cast, row: list(Conversation.objects.order_by(*ConversationPage.ordering)[:50]),
    "conversation_by_inbox_and_time": asked("/conversations?sort=newest"),
    "conversation_by_phone": asked("/conversations/search?phone_number={row.customer_phone_number}"),
    "conversation_by_label": asked("/conversations?label_id={label}"),
    "assignment_by_operator": lambda cast, row: statistics.of_operator(cast.otto),
    "assignment_by_conversation": lambda cast, row: list(
        Assignment.objects.filter(conversation_id=row.pk).order_by(AssignmentPage.ordering[0])
    ),
    "message_by_conversation": lambda cast, row: told_of(cast, row),
    "grace_due": lambda cast, row: list(expiry.expire_all_of(cast.tenant.pk, 100)),
    "resolved_and_not_erased": lambda cast, row: due_to_be_forgotten(cast),
    "grace_by_operator": lambda cast, row: grace.cancel_for(cast.otto.pk),
    "presence_by_operator": lambda cast, row: timesheet.of(cast.otto.pk, timesheet.window(None, None, clock.now()), 20),
    "session_by_operator": lambda cast, row: sessions.end_all(cast.otto.pk, Session.EndReason.PASSWORD_CHANGED),
    "session_by_end": lambda cast, row: sessions.sweep(1),
    "refresh_token_by_session": lambda cast, row: sessions.sweep(1),
    "live_signing_secrets": lambda cast, row: list(signing_secrets.opened(0)),
    "idempotency_key_by_end": lambda cast, row: repeats.sweep(100),
    "seen_message_by_time": lambda cast, row: signatures.sweep(100),
    "webhook_delivery_due": lambda cast, row: deliveries.take(webhooks.all_of_them()[0].pk, 20),
    "webhook_delivery_over": lambda cast, row: deliveries.forget_old(100),
    "event_position": lambda cast, row: eventlog.read(),
    "event_by_conversation": lambda cast, row: lifecycle.repeats(row, "conversation.resolved", cast.olga),
    "event_by_subject": lambda cast, row: told_in_the_console("operator 7"),
}
# Read by narrow functions, as the owner: whose an id is, before anybody knows the tenant.
LOOKED_AT_BY = {
    "conversation_in_inbox": "tenant_of_conversation",
    "grace_by_id": "tenant_of_grace_period",
    "inbox_by_id": "tenant_of_inbox",
    "label_by_id": "tenant_of_label",
    "api_key_by_id": "tenant_of_api_key",
    "signing_secret_by_id": "tenant_of_signing_secret",
    "session_by_id": "tenant_of_session",
    "webhook_by_id": "tenant_of_webhook",
    "delivery_by_id": "tenant_of_delivery",
    "operator_id_alone": "tenant_of_operator",
}
FIRST_COLUMN = """
    SELECT i.indrelid::regclass::text, a.attname FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE i.indexrelid = %s::regclass
"""


def test_every_index_serves_its_query(lived_in: Crowd) -> None:
    cast, idle = lived_in.cast, []
    with isolation.act_as(cast.tenant.pk):
        row = Conversation.objects.order_by("pk").first()
    assert row is not None

    for name, act in NEEDED_BY.items():
        if name not in indexes(executed(cast, lambda: act(cast, row), of="")):  # noqa: B023  called at once
            idle.append(name)

    assert idle == []


@pytest.mark.parametrize(("index", "function"), LOOKED_AT_BY.items())
@pytest.mark.usefixtures("db")
def test_whose_an_id_is_takes_one_look_however_many_tenants_there_are(index: str, function: str) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        ((body,),) = owner.execute("SELECT prosrc FROM pg_proc WHERE proname = %s", [function]).fetchall()
        ((table, first),) = owner.execute(FIRST_COLUMN, [index]).fetchall()

    assert first == "id"
    assert body.strip() == f"SELECT tenant_id FROM {table} WHERE id = {function.removeprefix('tenant_of_')}_id"


def test_who_has_a_deadline_to_keep_is_one_look_for_each_tenant_however_many_periods_are_open(lived_in: Crowd) -> None:
    with isolation.act_as(lived_in.cast.tenant.pk):
        due = GracePeriod.objects.update(opened_at=clock.now() - timedelta(days=2), expires_at=clock.now() - timedelta(days=1))
    assert due > 1000

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        ((body,),) = owner.execute("SELECT prosrc FROM pg_proc WHERE proname = 'tenants_with_due_grace'").fetchall()
        ((explained,),) = owner.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {body}").fetchall()
    plan = list(nodes(explained[0]["Plan"]))

    looks = [node for node in plan if node.get("Relation Name") == "grace_period_assignments"]
    assert {node["Index Name"] for node in looks} == {"grace_due"}
    assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in looks) <= 1


def test_ending_an_assignment_reads_no_open_grace_but_its_own(lived_in: Crowd) -> None:
    cast = lived_in.cast
    with isolation.act_as(cast.tenant.pk):
        row = Conversation.objects.filter(assigned_operator_id__isnull=False).first()
        assert row is not None
        assert GracePeriod.objects.filter(ended_at=None).count() > 1000

    plan = executed(cast, lambda: lifecycle.resolve(row.pk, by=cast.mia), of="grace_period_assignments")

    read = [node for node in plan if node.get("Relation Name") == "grace_period_assignments"]
    assert read
    assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read) <= 1


def test_no_index_is_without_a_query() -> None:
    ours = [model for label in ("tenants", "operators", "labels", "conversations") for model in apps.get_app_config(label).get_models()]

    assert {index.name for model in ours for index in model._meta.indexes} <= {*NEEDED_BY, *LOOKED_AT_BY}

"""Where a conversation stands, and why: the terms of its score, and its exact place in the queue at one instant."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from conversations import queue
from conversations.priority import MICROSECOND, Weights, microseconds, spell
from conversations.states import State
from operators.models import Operator
from tenants import isolation
from tenants.models import Tenant

# One statement is one instant. Better is who comes before: (effective, waits_from, id) decides, counted by the four heads
# of queue.HEADS. The two large ones are ranges of the queue's own index, whose order is that of the score; what sets the
# first one apart is said as there, so that its range alone is read, and the index alone.
# OFFSET 0 keeps the planner from counting once for each of the sums that use the counts.
STANDING = """
    WITH one AS MATERIALIZED (
        SELECT c.*, {effective_of_one} AS effective, {now} AS now, (extract(epoch FROM {now}) * 1000000)::bigint AS now_microseconds
          FROM conversations c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(conversation_id)s
    )
    SELECT one.state, one.message_count, one.waits_from, one.credit, one.now, place.*
      FROM one LEFT JOIN LATERAL (
        SELECT sum(n.better) FILTER (WHERE i.id = one.inbox_id) + 1 AS position_in_inbox,
               sum(n.waiting) FILTER (WHERE i.id = one.inbox_id) AS waiting_in_inbox,
               sum(n.better) FILTER (WHERE {answers}) + 1 AS position_for_caller,
               sum(n.waiting) FILTER (WHERE {answers}) AS waiting_for_caller
          FROM inboxes i CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM conversations c WHERE {queued}) AS waiting,
                   (SELECT count(*) FROM conversations c WHERE {queued} AND NOT c.saturated
                       AND one.now - c.waits_from < {delay_cap} AND c.waits_from - one.now <= interval '0'
                       AND (c.rank, c.waits_from, c.id)
                         < ({waiting_counts} * one.now_microseconds - one.effective, one.waits_from, one.id))
                 + (SELECT count(*) FROM conversations c WHERE {queued} AND c.saturated
                       AND (c.rank, c.waits_from, c.id)
                         < ({waiting_counts} * {delay_cap_microseconds} - one.effective, one.waits_from, one.id))
                 + (SELECT count(*) FROM conversations c WHERE {queued} AND NOT c.saturated
                       AND c.waits_from <= one.now - {delay_cap} AND {better})
                 + (SELECT count(*) FROM conversations c WHERE {queued} AND NOT c.saturated
                       AND c.waits_from > one.now AND {better}) AS better
            OFFSET 0
          ) n
         WHERE i.tenant_id = %(tenant_id)s AND (i.id = one.inbox_id OR {answers})
      ) place ON one.state = 'QUEUED'
"""
QUEUED = "c.tenant_id = %(tenant_id)s AND c.inbox_id = i.id AND c.state = 'QUEUED'"
ANSWERS = """(%(everywhere)s OR EXISTS (SELECT FROM operator_inbox_subscriptions s
    WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND s.inbox_id = i.id))"""
PLACE = ("position_in_inbox", "waiting_in_inbox", "position_for_caller", "waiting_for_caller")


def explain(conversation_id: int, caller: Operator, tenant: Tenant, at: datetime | None = None) -> dict[str, Any]:
    """Score, terms, place and what is to come of one conversation at this instant, for one who may see it.

    Places count from 1: in its inbox, and among all inboxes that the caller answers at (managers: the tenant's).
    `rank` is None for what does not wait. Raises Missing, NotYourInbox.
    """
    queue.find_visible(conversation_id, caller)
    weights = Weights.of(tenant)
    row = _look(conversation_id, caller, weights, at)
    messages, waiting = weights.shares(row["credit"], row["waits_from"], row["now"])
    saturates_at = _saturates_at(weights, row)
    waited = max(0, microseconds(row["now"]) - microseconds(row["waits_from"]))
    rank = {name: int(row[name]) for name in PLACE} if row["state"] == State.QUEUED else None
    return {
        "score": weights.score(row["credit"], row["waits_from"], row["now"]),
        "alpha_term": messages,
        "beta_term": waiting,
        "message_count": row["message_count"],
        "message_cap": weights.message_cap,
        "waited_minutes": round(waited / 60_000_000, 6),
        "delay_cap_minutes": tenant.delay_cap_minutes,
        "waiting_clock": tenant.waiting_clock,
        "in_words": _in_words(weights, row, waited, rank),
        "rank": rank,
        "saturates_at": saturates_at,
        "saturates_in_minutes": saturates_at and round((saturates_at - row["now"]) / timedelta(minutes=1), 6),
    }


def _look(conversation_id: int, caller: Operator, weights: Weights, at: datetime | None) -> dict[str, Any]:
    now = "statement_timestamp()" if at is None else "%(at)s::timestamptz"
    effective = weights.in_sql.effective("c.credit", "c.waits_from", "one.now")
    statement = STANDING.format(
        now=now,
        effective_of_one=weights.in_sql.effective("c.credit", "c.waits_from", now),
        better=f"(-{effective}, c.waits_from, c.id) < (-one.effective, one.waits_from, one.id)",
        waiting_counts=weights.waiting_counts,
        delay_cap=weights.in_sql.delay_cap_interval,
        delay_cap_microseconds=weights.delay_cap,
        queued=QUEUED,
        answers=ANSWERS,
    )
    parameters = {
        "tenant_id": isolation.current_tenant_id(),
        "conversation_id": conversation_id,
        "operator_id": caller.pk,
        "everywhere": caller.is_manager,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


def _saturates_at(weights: Weights, row: dict[str, Any]) -> datetime | None:
    """When waiting longer stops to add; None where it never adds, has stopped already, or the work is done."""
    if not weights.waiting_counts or row["state"] == State.RESOLVED or weights.is_saturated(row["waits_from"], row["now"]):
        return None
    moment: datetime = row["waits_from"] + weights.delay_cap * MICROSECOND
    return moment


def _in_words(weights: Weights, row: dict[str, Any], waited: int, rank: dict[str, int] | None) -> str:
    count = row["message_count"]
    messages = f"{count} message{'' if count == 1 else 's'}"
    worth = f" worth {spell(row['credit'])} of waiting" if weights.beta and row["credit"] else ""
    place = (
        f"number {rank['position_in_inbox']} of {rank['waiting_in_inbox']} in its inbox" if rank else f"{row['state']}, so not in the queue"
    )
    return f"{messages}{worth}, waiting for {spell(waited)}: {place}."

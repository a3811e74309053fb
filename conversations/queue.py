"""Who is waiting, in which order, for whom. Every lock on a conversation is taken in this file.

Order of locks, everywhere: tenant, operator (presence.lock), conversation, label, grace period (docs/decisions/0006);
several rows of one table by ascending id, except with SKIP LOCKED, which never waits. Lock late, but before the check:
what a decision rests on is read after the lock. FOR NO KEY UPDATE throughout, because no key changes and foreign keys
need not wait.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from convalloc.errors import Missing
from conversations.capacity import HAS_ROOM
from conversations.errors import QueueBusy
from conversations.models import Conversation
from conversations.priority import NAMED, Weights
from conversations.states import State
from operators import desk
from operators.errors import NotYourInbox
from operators.models import Operator
from tenants import isolation
from tenants.models import Tenant

# What an operator gave back a moment ago comes to them last.
COOLING = """ARRAY(
    SELECT a.conversation_id FROM assignments a
     WHERE a.tenant_id = %(tenant_id)s AND a.operator_id = %(operator_id)s AND a.end_reason = 'released'
       AND a.ended_at > statement_timestamp() - %(cooldown_minutes)s * interval '1 minute')"""
NOT_COOLING = f"c.id <> ALL ({COOLING})"
ANYTHING = "true"
FIRST_LOOK = 8  # candidates: more than the neighbours whose picks overlap, each for milliseconds
MOST_WAITS = 100  # neighbours that one pick waits for in turn, each for milliseconds

# The best of an inbox is the first of four heads, each one index probe; braces hold SQL of priority.NAMED.
#   1 by rank: the bulk                    2 saturated: flagged by the tick, by credit alone
#   3 crossed the cap since the last tick  4 from the future: a sender's clock is ahead, their waiting counts 0
# 3 and 4 are read whole and sorted, which is why the tick keeps 3 short; when it is late, only more is read. Head 1 says in
# a way that no index serves what sets it apart from them: nearly all rows fit, and the planner, who cannot know that
# before it sees the tenant's cap, would otherwise read them all and sort them.
HEADS = """
    SELECT h.*, s.inbox_id
      FROM operator_inbox_subscriptions s
      CROSS JOIN LATERAL (
        (SELECT c.id, c.waits_from, {effective} AS effective FROM conversations c
          WHERE c.tenant_id = s.tenant_id AND c.inbox_id = s.inbox_id AND c.state = 'QUEUED' AND NOT c.saturated
            AND {now} - c.waits_from < {delay_cap} AND c.waits_from - {now} <= interval '0' AND {eligible}
          ORDER BY c.rank, c.waits_from, c.id LIMIT {look})
        UNION ALL
        (SELECT c.id, c.waits_from, {effective} FROM conversations c
          WHERE c.tenant_id = s.tenant_id AND c.inbox_id = s.inbox_id AND c.state = 'QUEUED' AND c.saturated AND {eligible}
          ORDER BY c.rank, c.waits_from, c.id LIMIT {look})
        UNION ALL
        (SELECT c.id, c.waits_from, {effective} FROM conversations c
          WHERE c.tenant_id = s.tenant_id AND c.inbox_id = s.inbox_id AND c.state = 'QUEUED' AND NOT c.saturated
            AND c.waits_from <= {now} - {delay_cap} AND {eligible}
          ORDER BY c.credit DESC, c.waits_from, c.id LIMIT {look})
        UNION ALL
        (SELECT c.id, c.waits_from, {effective} FROM conversations c
          WHERE c.tenant_id = s.tenant_id AND c.inbox_id = s.inbox_id AND c.state = 'QUEUED' AND NOT c.saturated
            AND c.waits_from > {now} AND {eligible}
          ORDER BY c.credit DESC, c.waits_from, c.id LIMIT {look})
      ) h
     WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND {has_room}
"""
WAITING = """
        SELECT s.inbox_id FROM operator_inbox_subscriptions s JOIN conversations c ON c.tenant_id = s.tenant_id AND c.inbox_id = s.inbox_id
         WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND {has_room} AND c.state = 'QUEUED' AND {eligible}
"""
# Whether what they released a moment ago is all that is left to give. Who may wait has seen that nothing else waits.
AFTER_ALL = f"SELECT cardinality({COOLING}) > 0"
AFTER_ALL_THAT_WAITS = f"{AFTER_ALL} AND NOT EXISTS ({WAITING.format(has_room=HAS_ROOM, eligible=NOT_COOLING)})"
# For a pick's message: a scan of an index in its order marks what it finds dead, a bitmap does not, and meets it again and
# again. Picks and ticks leave much that is dead just where the next pick looks.
IN_ORDER, IN_ANY_WAY = ("SET LOCAL enable_bitmapscan = off", "SET LOCAL enable_bitmapscan = on")
# The first n of all heads together are the first n of the queue: a full head's n + 1st may well come before another's first.
# LIMIT stands above the locking: it locks down the order until one row was free, and not one more. State and inbox are
# looked at again under the lock: a neighbour may have taken the row meanwhile, or moved it to where nobody asked. The
# inbox is compared in a way that no index serves, so that the row is found by its key.
PICK = """
    WITH heads AS MATERIALIZED (
        SELECT * FROM ({heads}) every_head ORDER BY effective DESC, waits_from, id LIMIT {look}
    )
    SELECT c.* FROM heads h JOIN conversations c ON c.tenant_id = %(tenant_id)s AND c.id = h.id
     WHERE c.state = 'QUEUED' AND c.inbox_id IS NOT DISTINCT FROM h.inbox_id
     ORDER BY h.effective DESC, h.waits_from, h.id
     LIMIT {most} FOR NO KEY UPDATE OF c {when_locked}
"""
# Where a conversation stands, of rows `c`, then `batch`, then `placed p`; the parameters are those of `placing`.
WAITS_FROM = """CASE WHEN %(clock)s = 'waiting_since' THEN coalesce(c.waiting_since, c.last_message_at) ELSE c.last_message_at END"""
PLACED = f"""
        SELECT *, {NAMED.credit("message_count")} AS credit,
               waits_from <= statement_timestamp() - {NAMED.delay_cap_interval} AS saturated FROM batch"""
PLACE = f"""
               waits_from = p.waits_from, credit = p.credit, saturated = p.saturated, ranked_under = %(version)s,
               rank = {NAMED.rank("p.credit", "p.waits_from", "p.saturated")},
               priority_score = {NAMED.score(NAMED.effective("p.credit", "p.waits_from", "statement_timestamp()"))}"""
# The columns come out of the locking select itself: it returns them as they are after a wait for the lock.
RERANK = f"""
    WITH batch AS MATERIALIZED (
        SELECT c.id, c.message_count, {WAITS_FROM} AS waits_from FROM conversations c
         WHERE c.tenant_id = %(tenant_id)s AND {{which}} LIMIT %(limit)s FOR NO KEY UPDATE {{when_locked}}
    ), placed AS ({PLACED}), reranked AS (
        UPDATE conversations c SET {PLACE}
          FROM placed p WHERE c.tenant_id = %(tenant_id)s AND c.id = p.id AND c.state <> 'RESOLVED'
        RETURNING c.id
    )
    SELECT count(*), max(id) FROM reranked
"""
HOLD = """
    SELECT c.id, c.external_conversation_id FROM conversations c
     WHERE c.tenant_id = %(tenant_id)s AND {which} ORDER BY c.id FOR NO KEY UPDATE {when_locked}
"""
WALK = "c.id > %(after)s AND c.state <> 'RESOLVED' AND (%(everything)s OR c.ranked_under < %(version)s) ORDER BY c.id"
LATE = "c.state = 'QUEUED' AND c.ranked_under < %(version)s"


def place(conversation: Conversation, tenant: Tenant, now: datetime) -> dict[str, Any]:
    """The values that put a conversation in its place in the queue at this instant, by column; writes nothing."""
    weights = Weights.of(tenant)
    waits_from = conversation.last_message_at
    if tenant.waiting_clock == Tenant.WaitingClock.WAITING_SINCE and conversation.waiting_since is not None:
        waits_from = conversation.waiting_since
    credit = weights.credit(conversation.message_count)
    saturated = weights.is_saturated(waits_from, now)
    return {
        "waits_from": waits_from,
        "credit": credit,
        "rank": weights.rank(credit, waits_from, saturated=saturated),
        "saturated": saturated,
        "ranked_under": tenant.weights_version,
        "priority_score": weights.score(credit, waits_from, now),
    }


def lock(conversation_id: int) -> Conversation:
    """The conversation, locked, as it is now. Raises Missing."""
    row = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation_id).first()
    if row is None:
        raise Missing(what="Conversation", sought=[conversation_id])
    return row


def hold_many(conversation_ids: Iterable[int], *, wait: bool = True) -> set[int]:
    """The locks of several conversations, taken by ascending id, for a statement that reads the rows itself; whose they are.

    Without `wait` only those that nobody holds.
    """
    return set(_hold("c.id = ANY (%(ids)s)", "" if wait else "SKIP LOCKED", ids=list(conversation_ids)))


def hold_named(external_ids: Iterable[str]) -> dict[str, int]:
    """The locks of the conversations that a messaging system calls so, taken as `hold_many`: their ids, by those names."""
    held = _hold("c.external_conversation_id = ANY (%(names)s)", "", names=list(external_ids))
    return {name: conversation_id for conversation_id, name in held.items()}


def hold_work_of(operator_id: int) -> set[int]:
    """The locks of all that the operator holds, as `hold_many`. Under the operator's lock, so that nothing is added to it meanwhile."""
    return set(_hold("c.assigned_operator_id = %(operator_id)s AND c.state = 'ALLOCATED'", "", operator_id=operator_id))


def _hold(which: str, when_locked: str, **parameters: Any) -> dict[int, str]:
    with connection.cursor() as cursor:
        statement = HOLD.format(which=which, when_locked=when_locked)
        cursor.execute(statement, {"tenant_id": isolation.current_tenant_id()} | parameters)
        return dict(cursor.fetchall())


def find(conversation_id: int) -> Conversation:
    """The conversation, not locked: for looking at. Raises Missing."""
    row = Conversation.objects.filter(pk=conversation_id).first()
    if row is None:
        raise Missing(what="Conversation", sought=[conversation_id])
    return row


def find_visible(conversation_id: int, operator: Operator) -> Conversation:
    """The conversation, not locked, for one who may see it. Raises Missing, NotYourInbox."""
    row = find(conversation_id)
    if not visible_to(operator).filter(pk=row.pk).exists():
        raise NotYourInbox
    return row


def lock_best(operator_id: int, tenant: Tenant, at: datetime | None = None, *, wait: bool = True) -> Conversation | None:
    """The best queued conversation of the operator's inboxes at this instant, locked; None when nothing waits.

    Inboxes of which the operator may hold no more do not count; what they released a moment ago comes last.
    Candidates that a neighbour holds are passed over. A row that is merely locked does not make the queue empty:
    when all that waits is locked, this waits for the neighbour (up to the role's lock_timeout) and looks again.
    Without `wait` it takes what is free or nothing: for those who hold a conversation already.
    Raises QueueBusy when neighbours were faster every time.
    """
    row = _lock_best(operator_id, tenant, at, NOT_COOLING, wait)
    if row is None and _ask(AFTER_ALL if wait else AFTER_ALL_THAT_WAITS, operator_id, tenant):
        row = _lock_best(operator_id, tenant, at, ANYTHING, wait)
    return row


def full_inbox(operator_id: int, tenant: Tenant) -> int | None:
    """An inbox of the operator's where something waits, but of which they may hold no more."""
    inbox_id: int | None = _ask(f"SELECT ({waiting_sql(ANYTHING, f'NOT {HAS_ROOM}')} LIMIT 1)", operator_id, tenant)
    return inbox_id


def _lock_best(operator_id: int, tenant: Tenant, at: datetime | None, eligible: str, wait: bool) -> Conversation | None:
    for look in (FIRST_LOOK, settings.MAX_CONVERSATION_FETCH):
        if row := _pick(operator_id, tenant, at, look, "SKIP LOCKED", eligible):
            return row
    if not wait:
        return None
    for _ in range(MOST_WAITS):
        if not _ask(f"SELECT EXISTS ({waiting_sql(eligible, HAS_ROOM)})", operator_id, tenant):
            return None
        if row := _pick(operator_id, tenant, at, 1, "", eligible):  # one row: it waits for one neighbour at a time
            return row
    raise QueueBusy


def _ask(statement: str, operator_id: int, tenant: Tenant) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, asking(operator_id, tenant))
        (answer,) = cursor.fetchone()
    return answer


def _pick(operator_id: int, tenant: Tenant, at: datetime | None, look: int, when_locked: str, eligible: str) -> Conversation | None:
    statement = pick_sql("statement_timestamp()" if at is None else "%(at)s::timestamptz", look, when_locked, eligible)
    # A row that a neighbour took since the snapshot is passed over, yet stays locked by us. Without a pick, the savepoint
    # lets go of such rows: whoever waits next while holding them could meet their new holder in a deadlock.
    savepoint = transaction.savepoint()
    row = next(iter(Conversation.objects.raw(statement, asking(operator_id, tenant) | {"at": at})), None)
    if row is None:
        transaction.savepoint_rollback(savepoint)
    return row


def waiting_sql(eligible: str = ANYTHING, has_room: str = ANYTHING) -> str:
    """WAITING, a row for each; its parameters are those of `asking`."""
    return WAITING.format(has_room=has_room, eligible=eligible)


def pick_sql(now: str, look: int, when_locked: str, eligible: str, most: str = "1") -> str:
    """PICK, for an instant in SQL, of `most` rows among the first so many of each head; its parameters are those of `asking`."""
    heads = HEADS.format(
        now=now,
        delay_cap=NAMED.delay_cap_interval,
        effective=NAMED.effective("c.credit", "c.waits_from", now),
        has_room=HAS_ROOM,
        eligible=eligible,
        look=look,
    )
    return PICK.format(heads=heads, look=look, when_locked=when_locked, most=most)


def asking(operator_id: int, tenant: Tenant) -> dict[str, Any]:
    """Who asks the queue, and under which weights."""
    whose = {"tenant_id": tenant.pk, "operator_id": operator_id, "cooldown_minutes": tenant.cooldown_minutes}
    return whose | Weights.of(tenant).parameters


def waiting_for(operator_id: int) -> QuerySet[Conversation]:
    """What is queued in the operator's inboxes, in no order."""
    return Conversation.objects.filter(state=State.QUEUED, inbox_id__in=desk.inboxes_of(operator_id))


def visible_to(operator: Operator) -> QuerySet[Conversation]:
    """What an operator may see: their inboxes and what they hold; managers and admins everything of the tenant."""
    rows = Conversation.objects.all()
    if operator.is_manager:
        return rows
    return rows.filter(Q(inbox_id__in=desk.inboxes_of(operator.pk)) | Q(assigned_operator_id=operator.pk))


def flag_saturated(tenant: Tenant, limit: int) -> int:
    """Flag up to `limit` conversations that crossed the delay cap, in whichever state; the number of them.

    Only a helper of the pick, and of lists in the queue's order, which show what is answered and resolved too.
    Rows that somebody holds are left for the next tick. The update repeats the select's condition; what newer weights
    ranked meanwhile, with another cap perhaps, is theirs.
    """
    cap = Weights.of(tenant).in_sql.delay_cap_interval
    crossed = f"NOT c.saturated AND c.ranked_under <= {tenant.weights_version} AND c.waits_from <= statement_timestamp() - {cap}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH due AS MATERIALIZED (
                SELECT h.id FROM inboxes i CROSS JOIN unnest(%(states)s::text[]) s (state) CROSS JOIN LATERAL (
                    SELECT c.id FROM conversations c
                     WHERE c.tenant_id = i.tenant_id AND c.inbox_id = i.id AND c.state = s.state AND {crossed}
                     LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
                ) h WHERE i.tenant_id = %(tenant_id)s LIMIT %(limit)s
            )
            UPDATE conversations c SET saturated = true, rank = -c.credit
              FROM due WHERE c.tenant_id = %(tenant_id)s AND c.id = due.id AND {crossed}
            """,
            {"tenant_id": tenant.pk, "limit": limit, "states": State.values},
        )
        return int(cursor.rowcount)


def rerank_after(tenant: Tenant, conversation_id: int, limit: int, *, everything: bool = True) -> tuple[int, int]:
    """Recalculate place and snapshot of the next `limit` unresolved conversations after an id: (rows, last id).

    By ascending id and in short transactions of the caller's, so that picks wait for a batch at most. Without
    `everything` only those that other weights than the tenant's put where they stand.
    """
    return _rerank(tenant, WALK, "", after=conversation_id, limit=limit, everything=everything)


def rerank_late(tenant: Tenant, limit: int) -> int:
    """Recalculate up to `limit` queued conversations that weights of before put where they stand; the number of them.

    Whoever had read the weights before they changed may still put a row into its place after the walk has passed it. Such
    a row says so itself, in `ranked_under`. Rows that somebody holds are left for the next tick.
    """
    rows, _ = _rerank(tenant, LATE, "SKIP LOCKED", limit=limit)
    return rows


def late(tenant: Tenant) -> bool:
    """Whether anything queued stands where weights of before put it: one index probe."""
    return Conversation.objects.filter(state=State.QUEUED, ranked_under__lt=tenant.weights_version).exists()


def _rerank(tenant: Tenant, which: str, when_locked: str, **parameters: Any) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(RERANK.format(which=which, when_locked=when_locked), placing(tenant) | parameters)
        rows, last = cursor.fetchone()
    return rows, last or parameters.get("after", 0)


def placing(tenant: Tenant) -> dict[str, Any]:
    """What decides where the tenant's conversations stand: the parameters of PLACED and PLACE."""
    return {"tenant_id": tenant.pk, "clock": tenant.waiting_clock, "version": tenant.weights_version} | Weights.of(tenant).parameters

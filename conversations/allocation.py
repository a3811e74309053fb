"""Who gets which conversation: the best one, a chosen one, or one that a manager hands over.

All three hold the operator's lock first, so that no work slips past an OFFLINE, then the conversation's.
"""

from django.db import connection

from convalloc import clock, prepared
from convalloc.prepared import Statement
from conversations import capacity, lifecycle, queue, states
from conversations.errors import CapacityExceeded, HeldByAnother
from conversations.lifecycle import Override
from conversations.models import Conversation
from conversations.priority import NAMED
from conversations.states import State
from operators import presence
from operators.models import Operator, OperatorStatus
from tenants import eventlog
from tenants.models import Tenant

(ALLOCATE,) = (move for move in states.TRANSITIONS if move.act == "allocate")
COLUMNS = [field.attname for field in Conversation._meta.concrete_fields]
BATCH = 100  # most conversations of one request
HELD = """(SELECT count(*) FROM conversations h
                 WHERE h.tenant_id = s.tenant_id AND h.assigned_operator_id = s.operator_id AND h.state = 'ALLOCATED')"""
LIMIT = "coalesce(o.capacity, t.operator_capacity)"
# Limits at single inboxes are counted one conversation at a time: a batch that meets one goes the long way.
ROOM = f"CASE WHEN {LIMIT} IS NULL THEN %(count)s::bigint ELSE least(%(count)s, {LIMIT} - {HELD}) END"
UNLIMITED_SEATS = """
           AND NOT EXISTS (SELECT FROM operator_inbox_subscriptions l
                            WHERE l.tenant_id = s.tenant_id AND l.operator_id = s.operator_id AND l.capacity IS NOT NULL)"""


WHO_TAKES_WORK = f"""
          FROM operator_status s
          JOIN operators o ON o.tenant_id = s.tenant_id AND o.id = s.operator_id
          JOIN tenants t ON t.id = s.tenant_id
         WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND s.status = 'AVAILABLE' AND o.is_active
           AND ({LIMIT} IS NULL OR {LIMIT} > {HELD})"""


def _hand_out_sql(look: int, most: str, room: str, only_where: str) -> str:
    """What `allocate_next` does where nobody is in the way, for up to `most` conversations, best first.

    Its instant comes after the wait for the operator's lock; the message's own, statement_timestamp(), does not.
    """
    return f"""
    WITH target AS MATERIALIZED (
        SELECT clock_timestamp() AS now, {room} AS room{WHO_TAKES_WORK}{only_where}
    ), picked AS MATERIALIZED (
        SELECT best.id, row_number() OVER () AS place FROM target CROSS JOIN LATERAL (
            {queue.pick_sql("(target.now)", look, "SKIP LOCKED", queue.NOT_COOLING, most)}) best
    ), taken AS (
        UPDATE conversations c
           SET state = '{ALLOCATE.enters}', assigned_operator_id = %(operator_id)s, version = c.version + 1, updated_at = target.now
          FROM picked p CROSS JOIN target WHERE c.tenant_id = %(tenant_id)s AND c.id = p.id AND c.state = '{ALLOCATE.leaves}'
        RETURNING c.*, target.now, p.place
    ), started AS (
        INSERT INTO assignments (tenant_id, conversation_id, operator_id, source, started_at, score_at_start, waited_seconds_at_start)
        SELECT tenant_id, id, assigned_operator_id, '{lifecycle.SOURCE[ALLOCATE.act]}', now,
               {NAMED.score(NAMED.effective("credit", "waits_from", "now"))}, greatest(0, extract(epoch FROM now - waits_from)) FROM taken
    ), told AS ({
        eventlog.append_sql(
            f"'conversation.{ALLOCATE.event}'",
            "conversation",
            subject_id="id",
            before=lifecycle.CHANGED.format(state=ALLOCATE.leaves, holder="NULL::bigint", version="version - 1"),
            after=lifecycle.CHANGED.format(state=ALLOCATE.enters, holder="assigned_operator_id", version="version"),
            rows="taken",
        )
    })
    SELECT {", ".join(COLUMNS)} FROM taken ORDER BY place
"""


HAND_OUT = Statement(_hand_out_sql(queue.FIRST_LOOK, "1", "1", ""))
HAND_OUT_MANY = Statement(_hand_out_sql(BATCH, "room", ROOM, UNLIMITED_SEATS))
IDLE = Statement(f"SELECT NOT EXISTS ({queue.waiting_sql()}) AS idle{WHO_TAKES_WORK}")


def allocate_next(operator_id: int, tenant: Tenant, *, wait: bool = True) -> Conversation | None:
    """Give the operator the conversation of their inboxes with the highest score now; None when nothing waits.

    What waits at an inbox of which they may hold no more is passed over, and refused when nothing else waits. Without `wait`,
    None also when neighbours hold all that waits.

    Raises Missing, OperatorDisabled, OperatorNotAvailable, CapacityExceeded, QueueBusy.
    """
    at_once = _hand_out(operator_id, tenant)
    if at_once is None:
        return None
    if at_once:
        return at_once[0]

    target = presence.lock(operator_id)
    lifecycle.refuse_absent(target)
    capacity.refuse_full(target)
    conversation = queue.lock_best(operator_id, tenant, wait=wait)
    if conversation is None:
        if full := queue.full_inbox(operator_id, tenant):
            capacity.refuse_full(target, full)
        return None
    return lifecycle.hand_to(target, conversation, lifecycle.step("allocate", conversation), clock.now())


def _hand_out(operator_id: int, tenant: Tenant, count: int = 1) -> list[Conversation] | None:
    """As `allocate_many`; None when they could be given work, but nothing waits: what most who ask again and again are told.

    An empty list stands for every other reason: then the long way finds out which, and waits where it must.
    """
    statement = HAND_OUT if count == 1 else HAND_OUT_MANY
    # The operator's lock is a statement of its own: the next one's snapshot is then younger than the wait for it, and so are
    # status, capacity and what is held. The savepoint lets go of rows that a neighbour took since the snapshot: see queue.
    at_once = f"SAVEPOINT hand_out; {queue.IN_ORDER}; {prepared.message(presence.LOCK, statement)}; {queue.IN_ANY_WAY}"
    with connection.cursor() as cursor:
        cursor.execute(at_once, queue.asking(operator_id, tenant) | eventlog.origin() | {"count": count})
        taken = prepared.answer(cursor, statement)
        if not taken:
            cursor.execute(f"ROLLBACK TO SAVEPOINT hand_out; {prepared.message(IDLE)}", queue.asking(operator_id, tenant))
            return None if prepared.answer(cursor, IDLE) == [{"idle": True}] else []
    return [Conversation.from_db(connection.alias, list(row), list(row.values())) for row in taken]


def allocate_many(operator_id: int, tenant: Tenant, count: int) -> list[Conversation]:
    """As `allocate_next`, up to `count`, best first, as far as the operator's capacity reaches. Raises as that, if it gave none.

    All at once where nobody is in the way, the rest one by one. Only the first waits for a neighbour: whoever holds one
    conversation and waits for any other, may wait in a circle.
    """
    given = _hand_out(operator_id, tenant, count) if count > 1 else []
    while given is not None and len(given) < count:
        try:
            conversation = allocate_next(operator_id, tenant, wait=not given)
        except CapacityExceeded:
            if not given:
                raise
            break
        if conversation is None:
            break
        given.append(conversation)
    return given or []


def claim(operator_id: int, conversation_id: int) -> Conversation:
    """Give the operator the waiting conversation of their choice; what they hold already stays theirs.

    Raises Missing, NotSubscribed, HeldByAnother, AlreadyResolved, OperatorDisabled, OperatorNotAvailable, CapacityExceeded.
    """
    return _give(conversation_id, presence.lock(operator_id), "claim", Override())


def assign(operator_id: int, conversation_id: int, *, override: Override = Override()) -> Conversation:  # noqa: B008  immutable
    """A manager gives a waiting conversation to an operator. Raises as `claim`, and ForceNeedsReason."""
    return _give(conversation_id, presence.lock(operator_id), "assign", override)


def _give(conversation_id: int, target: OperatorStatus, act: str, override: Override) -> Conversation:
    conversation = queue.lock(conversation_id)
    if conversation.assigned_operator_id == target.operator_id:
        return conversation
    lifecycle.admit(target, conversation, override)  # first: who has no place at this inbox hears nothing about the conversation
    if conversation.state == State.ALLOCATED:
        raise HeldByAnother(
            holder=str(Operator.objects.get(pk=conversation.assigned_operator_id)), operator_id=conversation.assigned_operator_id
        )
    return lifecycle.hand_to(target, conversation, lifecycle.step(act, conversation), clock.now(), cause=override.cause)

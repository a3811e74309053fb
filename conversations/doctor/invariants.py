"""What must hold of every tenant's data at every instant between two transactions, each as one query for those who offend.

A query selects the `id` of whoever offends, among the rows of %(tenant_id)s. It is one statement, hence one instant: what
is being changed meanwhile is seen before or after its transaction, never in between.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings

from conversations import queue, silence
from conversations.doctor.findings import Verdict
from conversations.models import STAND_IN
from conversations.priority import NAMED
from conversations.states import State
from operators import leases, repeats
from operators.models import Status

OPEN_GRACE = "grace_period_assignments WHERE tenant_id = %(tenant_id)s AND ended_at IS NULL"
TWO_TICKS = f"interval '{2 * settings.TICK_SECONDS} seconds'"


class Invariant(NamedTuple):
    """Something that must hold, who offends against it, and what a person should do about them."""

    name: str
    holds: str
    of: str  # what the ids are ids of
    among: str  # what follows FROM, to count those that are looked at
    offenders: str
    advice: str
    verdict: Verdict = Verdict.FAIL
    asks: Callable[[], dict[str, Any]] = dict  # what its query is to know besides, of the bound tenant


HOLDERS = Invariant(
    name="holders",
    holds="a conversation is ALLOCATED exactly with one open assignment, of the operator that it names",
    of="conversations",
    among=f"conversations WHERE tenant_id = %(tenant_id)s AND state = '{State.ALLOCATED}'",
    offenders=f"""
    SELECT DISTINCT coalesce(c.id, a.conversation_id) AS id
      FROM (SELECT id, assigned_operator_id FROM conversations WHERE tenant_id = %(tenant_id)s AND state = '{State.ALLOCATED}') c
      FULL JOIN (SELECT id, conversation_id, operator_id FROM assignments WHERE tenant_id = %(tenant_id)s AND ended_at IS NULL) a
        ON a.conversation_id = c.id AND a.operator_id = c.assigned_operator_id
     WHERE c.id IS NULL OR a.id IS NULL
     UNION SELECT conversation_id FROM assignments WHERE tenant_id = %(tenant_id)s AND ended_at IS NULL
            GROUP BY conversation_id HAVING count(*) > 1""",
    advice="Read their events in the console. What is ALLOCATED can be put back into the queue there (deallocate). An assignment that is"
    " open on anything else keeps it from being handed out: set its ended_at and end_reason by hand, and report a bug.",
)
STATUSES = Invariant(
    name="statuses",
    holds="every operator has a status, which is their lock",
    of="operators",
    among="operators WHERE tenant_id = %(tenant_id)s",
    offenders="""
    SELECT o.id FROM operators o
     WHERE o.tenant_id = %(tenant_id)s
       AND NOT EXISTS (SELECT FROM operator_status s WHERE s.tenant_id = o.tenant_id AND s.operator_id = o.id)""",
    advice="Nothing can be handed to them, nor taken from them. An account was made past the product: insert their row of operator_status.",
)
HISTORY = Invariant(
    name="history",
    holds="everybody's status is the one that the last period of their history tells, since when it tells",
    of="operators",
    among="operator_status WHERE tenant_id = %(tenant_id)s",
    offenders="""
    SELECT s.operator_id AS id FROM operator_status s
      LEFT JOIN presence_periods p ON p.tenant_id = s.tenant_id AND p.operator_id = s.operator_id AND p.ended_at IS NULL
     WHERE s.tenant_id = %(tenant_id)s AND (s.status, s.last_status_change_at) IS DISTINCT FROM (p.status, p.started_at)""",
    advice="What their history tells of them is wrong: a status was written past the product. Set another one and this one again, in the"
    " console.",
    verdict=Verdict.WARN,
)
UNHEARD = Invariant(
    name="unheard",
    holds="nobody whom we could have heard has a lease that is over for longer than two ticks",
    of="operators",
    among=f"""operator_status s JOIN tenants t ON t.id = s.tenant_id AND t.lease_seconds IS NOT NULL
              WHERE s.tenant_id = %(tenant_id)s AND s.status <> '{Status.OFFLINE}'""",
    offenders=f"""
    SELECT s.operator_id AS id FROM operator_status s JOIN tenants t ON t.id = s.tenant_id
     WHERE s.tenant_id = %(tenant_id)s AND s.status <> '{Status.OFFLINE}' AND {leases.EXPIRES_AT} < statement_timestamp() - {TWO_TICKS}
       AND {leases.JUDGED}""",
    advice="Work may be with somebody who is gone: see the worker and the last tick. `manage.py declare_lost`, or --fix, does it now.",
    asks=lambda: {"deaf": silence.was_away()},
)
CLOSED_ACCOUNTS = Invariant(
    name="closed_accounts",
    holds="whose account is closed is offline",
    of="operators",
    among="operators WHERE tenant_id = %(tenant_id)s AND NOT is_active",
    offenders=f"""
    SELECT o.id FROM operators o JOIN operator_status s ON s.tenant_id = o.tenant_id AND s.operator_id = o.id
     WHERE o.tenant_id = %(tenant_id)s AND NOT o.is_active AND s.status <> '{Status.OFFLINE}'""",
    advice="What they hold stays with them for ever. --fix sends them offline, and their work goes back after its grace period.",
    verdict=Verdict.WARN,
)
POINTLESS_GRACE = Invariant(
    name="pointless_grace",
    holds="an open grace period is about an open assignment, of the same operator and conversation",
    of="grace periods",
    among=OPEN_GRACE,
    offenders="""
    SELECT g.id FROM grace_period_assignments g
      LEFT JOIN assignments a ON a.tenant_id = g.tenant_id AND a.id = g.assignment_id AND a.ended_at IS NULL
                             AND a.operator_id = g.operator_id AND a.conversation_id = g.conversation_id
     WHERE g.tenant_id = %(tenant_id)s AND g.ended_at IS NULL AND a.id IS NULL""",
    advice="--fix closes them.",
)
GRACE_OF_THE_PRESENT = Invariant(
    name="grace_of_the_present",
    holds="nobody who is there has an open grace period",
    of="operators",
    among=f"operator_status WHERE tenant_id = %(tenant_id)s AND status <> '{Status.OFFLINE}'",
    offenders=f"""
    SELECT DISTINCT g.operator_id AS id
      FROM grace_period_assignments g JOIN operator_status s ON s.tenant_id = g.tenant_id AND s.operator_id = g.operator_id
     WHERE g.tenant_id = %(tenant_id)s AND g.ended_at IS NULL AND s.status <> '{Status.OFFLINE}'""",
    advice="--fix closes the periods: they keep their work.",
)
NO_GRACE = Invariant(
    name="no_grace",
    holds="whoever is offline holds nothing without a grace period",
    of="operators",
    among=f"operator_status WHERE tenant_id = %(tenant_id)s AND status = '{Status.OFFLINE}'",
    offenders=f"""
    SELECT DISTINCT a.operator_id AS id
      FROM assignments a JOIN operator_status s ON s.tenant_id = a.tenant_id AND s.operator_id = a.operator_id
      LEFT JOIN grace_period_assignments g ON g.tenant_id = a.tenant_id AND g.assignment_id = a.id AND g.ended_at IS NULL
     WHERE a.tenant_id = %(tenant_id)s AND a.ended_at IS NULL AND s.status = '{Status.OFFLINE}' AND g.id IS NULL""",
    advice="Their customers wait for nobody. --fix opens the periods, from now on.",
)
OVERDUE = Invariant(
    name="overdue",
    holds="no grace period is over for longer than two ticks",
    of="grace periods",
    among=OPEN_GRACE,
    offenders=f"""
    SELECT g.id FROM grace_period_assignments g
     WHERE g.tenant_id = %(tenant_id)s AND g.ended_at IS NULL AND g.expires_at < statement_timestamp() - {TWO_TICKS}""",
    advice="Nobody expires them: see the worker and the last tick. `manage.py expire_grace_periods`, or --fix, does it now.",
)
CAPACITY = Invariant(
    name="capacity",
    holds="nobody holds more than they may",
    of="operators",
    among="operators WHERE tenant_id = %(tenant_id)s",
    offenders=f"""
    WITH held AS (
        SELECT assigned_operator_id AS operator_id, inbox_id, count(*) AS held FROM conversations
         WHERE tenant_id = %(tenant_id)s AND state = '{State.ALLOCATED}' GROUP BY 1, 2)
    SELECT o.id FROM operators o JOIN tenants t ON t.id = o.tenant_id JOIN held h ON h.operator_id = o.id
     WHERE o.tenant_id = %(tenant_id)s
     GROUP BY o.id, o.capacity, t.operator_capacity HAVING sum(h.held) > coalesce(o.capacity, t.operator_capacity)
    UNION
    SELECT h.operator_id FROM held h
      JOIN operator_inbox_subscriptions s ON s.tenant_id = %(tenant_id)s AND s.operator_id = h.operator_id AND s.inbox_id = h.inbox_id
     WHERE h.held > s.capacity""",
    advice="As it should be after a manager's force, or a limit that was lowered: it ends by itself. Else report a bug.",
    verdict=Verdict.WARN,
)
# Nothing is said while the weights change under our eyes: the join finds the tenant only as it was read.
RANKS = Invariant(
    name="ranks",
    holds="every conversation stands where its messages, its waiting and the tenant's weights put it",
    of="conversations",
    among=f"conversations WHERE tenant_id = %(tenant_id)s AND state <> '{State.RESOLVED}'",
    offenders=f"""
    SELECT c.id FROM tenants t CROSS JOIN LATERAL (
        SELECT c.*, {queue.WAITS_FROM} AS from_when FROM conversations c WHERE c.tenant_id = t.id AND c.state <> '{State.RESOLVED}') c
     WHERE t.id = %(tenant_id)s AND t.weights_version = %(version)s AND (c.ranked_under > t.weights_version
        OR c.ranked_under = t.weights_version AND (
              c.waits_from <> c.from_when OR c.credit <> {NAMED.credit("c.message_count")}
           OR c.rank <> {NAMED.rank("c.credit", "c.waits_from", "c.saturated")}
           OR c.saturated AND c.waits_from > statement_timestamp() - {NAMED.delay_cap_interval}))""",
    advice="They are handed out in a wrong order. --fix, or `manage.py recalculate_priorities`, ranks their tenant anew.",
)
LATE_RANKS = Invariant(
    name="late_ranks",
    holds="what waits is ranked by the weights of now, and flagged within two ticks of the delay cap",
    of="conversations",
    among=f"conversations WHERE tenant_id = %(tenant_id)s AND state = '{State.QUEUED}'",
    offenders=f"""
    SELECT c.id FROM tenants t JOIN conversations c ON c.tenant_id = t.id AND c.state = '{State.QUEUED}'
     WHERE t.id = %(tenant_id)s AND t.weights_version = %(version)s
       AND (c.ranked_under < t.weights_version
            OR NOT c.saturated AND c.waits_from <= statement_timestamp() - {NAMED.delay_cap_interval} - {TWO_TICKS})""",
    advice="A tick mends it: see the worker and the last tick, or say --fix. Right after other weights it is as it should be.",
    verdict=Verdict.WARN,
)
LABELS = Invariant(
    name="labels",
    holds="a conversation wears labels of its own inbox only",
    of="conversations",
    among="(SELECT DISTINCT conversation_id FROM conversation_labels WHERE tenant_id = %(tenant_id)s) wearers",
    offenders="""
    SELECT DISTINCT w.conversation_id AS id FROM conversation_labels w
      LEFT JOIN conversations c ON c.tenant_id = w.tenant_id AND c.id = w.conversation_id
      LEFT JOIN labels l ON l.tenant_id = w.tenant_id AND l.id = w.label_id
     WHERE w.tenant_id = %(tenant_id)s AND (c.inbox_id = l.inbox_id AND c.inbox_id = w.inbox_id) IS NOT TRUE""",
    advice="The database refuses this: a constraint is gone. Compare the schema with that of a database that is freshly migrated.",
)
NOBODY_ANSWERS = Invariant(
    name="nobody_answers",
    holds="where somebody waits, somebody answers",
    of="inboxes",
    among="inboxes WHERE tenant_id = %(tenant_id)s",
    offenders=f"""
    SELECT i.id FROM inboxes i
     WHERE i.tenant_id = %(tenant_id)s
       AND EXISTS (SELECT FROM conversations c WHERE c.tenant_id = i.tenant_id AND c.inbox_id = i.id AND c.state = '{State.QUEUED}')
       AND NOT EXISTS (
            SELECT FROM operator_inbox_subscriptions s JOIN operators o ON o.tenant_id = s.tenant_id AND o.id = s.operator_id
             WHERE s.tenant_id = i.tenant_id AND s.inbox_id = i.id AND o.is_active)""",
    advice="No active operator is subscribed to these inboxes: a manager subscribes one, or moves what waits.",
    verdict=Verdict.WARN,
)
KEPT_TOO_LONG = Invariant(
    name="kept_too_long",
    holds="no customer is known for a day longer than the tenant keeps whose conversation was resolved",
    of="conversations",
    among=f"conversations WHERE tenant_id = %(tenant_id)s AND state = '{State.RESOLVED}'",
    offenders=f"""
    SELECT c.id FROM conversations c JOIN tenants t ON t.id = c.tenant_id
     WHERE c.tenant_id = %(tenant_id)s AND c.resolved_at IS NOT NULL AND NOT starts_with(c.customer_phone_number, '{STAND_IN}')
       AND c.resolved_at <= statement_timestamp() - (t.resolved_conversations_days + 1) * interval '1 day'""",
    advice="The beat forgets them (erase_old, every quarter of an hour): see the worker, the last tick and the log. After another"
    " `resolved_conversations_days` a long past takes several turns.",
    verdict=Verdict.WARN,
)
KEYS = Invariant(
    name="keys",
    holds="an Idempotency-Key that was committed has its answer, or is held for a question that takes long",
    of="idempotency_keys",
    among="idempotency_keys WHERE tenant_id = %(tenant_id)s",
    offenders=f"""
    SELECT id FROM idempotency_keys
     WHERE tenant_id = %(tenant_id)s AND status IS NULL AND expires_at > created_at + interval '{2 * repeats.HELD.seconds} seconds'""",
    advice="Key, effect and answer are one transaction: report a bug. Whoever asks again under such a key hears 409"
    " idempotency_key_in_use until it expires; delete the row once you know whether it was done.",
)
KEYS_SWEPT = Invariant(
    name="keys_swept",
    holds="no Idempotency-Key is kept for a day longer than it is good for",
    of="idempotency_keys",
    among="idempotency_keys WHERE tenant_id = %(tenant_id)s",
    offenders="""
    SELECT id FROM idempotency_keys
     WHERE tenant_id = %(tenant_id)s AND expires_at <= statement_timestamp() - interval '1 day'""",
    advice="The beat forgets them (sweep, every quarter of an hour): see the worker, the last tick and the log.",
    verdict=Verdict.WARN,
)

INVARIANTS = (
    HOLDERS,
    STATUSES,
    HISTORY,
    UNHEARD,
    CLOSED_ACCOUNTS,
    POINTLESS_GRACE,
    GRACE_OF_THE_PRESENT,
    NO_GRACE,
    OVERDUE,
    CAPACITY,
    RANKS,
    LATE_RANKS,
    LABELS,
    NOBODY_ANSWERS,
    KEPT_TOO_LONG,
    KEYS,
    KEYS_SWEPT,
)

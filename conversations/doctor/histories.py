"""What the log tells of grace periods and of people's presence, against their rows: as conversations.doctor.chronicle, in stretches."""

from conversations.doctor.chronicle import FORGETFUL, STRETCH
from conversations.doctor.invariants import Invariant
from conversations.models import GracePeriod

EndReason = GracePeriod.EndReason

# Whose word it was, stands in the event: a manager's has an actor, the clock's has none.
EARLY = Invariant(
    name="early",
    holds="the clock ended no grace period before its time",
    of="grace periods",
    among=STRETCH.format("grace_period_assignments"),
    offenders=f"""
    SELECT g.id FROM grace_period_assignments g
     WHERE g.tenant_id = %(tenant_id)s AND g.id > %(after)s AND g.id <= %(upto)s
       AND g.end_reason = '{EndReason.EXPIRED}' AND g.ended_at < g.expires_at
       AND NOT EXISTS (
            SELECT FROM events e
             WHERE e.tenant_id = g.tenant_id AND e.subject_type = 'graceperiod' AND e.subject_id = g.id
               AND e.kind = 'grace.expired' AND e.actor_id IS NOT NULL)
       AND (NOT {FORGETFUL} OR EXISTS (
            SELECT FROM events e WHERE e.tenant_id = g.tenant_id AND e.subject_type = 'graceperiod' AND e.subject_id = g.id))""",
    advice="Work was given away while its operator might still have come back. Read the events of both; report a bug.",
)
GRACE_TOLD = Invariant(
    name="grace_told",
    holds="the log tells the opening of a grace period once, and once its end, which is the row's",
    of="grace periods",
    among=STRETCH.format("grace_period_assignments"),
    offenders=f"""
    WITH told AS (
        SELECT e.subject_id, count(*) FILTER (WHERE e.kind = 'grace.opened') AS opened,
               array_agg(e.after ->> 'end_reason') FILTER (WHERE e.kind IN ('grace.expired', 'grace.cancelled')) AS ends
          FROM events e
         WHERE e.tenant_id = %(tenant_id)s AND e.subject_type = 'graceperiod' AND e.subject_id > %(after)s AND e.subject_id <= %(upto)s
         GROUP BY e.subject_id
    ), stretch AS (
        SELECT g.id, CASE WHEN g.ended_at IS NOT NULL THEN ARRAY[g.end_reason] END AS ends FROM grace_period_assignments g
         WHERE g.tenant_id = %(tenant_id)s AND g.id > %(after)s AND g.id <= %(upto)s)
    SELECT coalesce(g.id, t.subject_id) AS id
      FROM stretch g FULL JOIN told t ON t.subject_id = g.id
     WHERE (g.id IS NULL OR t.opened IS DISTINCT FROM 1 OR t.ends IS DISTINCT FROM g.ends)
       AND NOT (t.subject_id IS NULL AND g.ends IS NOT NULL AND {FORGETFUL})""",
    advice="A deadline was set or ended past the product, or told twice. Read its events; report a bug.",
)
# Periods and events are counted from the youngest: an account may be older than the history. All of it is written under the
# operator's lock, so the order of ids is theirs. No event tells of the status that somebody was hired with.
PRESENCE = Invariant(
    name="presence",
    holds="the log, the history of presence and the status tell the same of everybody, change by change",
    of="operators",
    among=STRETCH.format("operators"),
    offenders=f"""
    WITH told AS (
        SELECT subject_id AS operator_id, before ->> 'status' AS was, after ->> 'status' AS became,
               lag(after ->> 'status') OVER story AS stood, row_number() OVER (PARTITION BY subject_id ORDER BY id DESC) AS nth
          FROM events
         WHERE tenant_id = %(tenant_id)s AND subject_type = 'operator' AND kind = 'operator.status_changed'
           AND subject_id > %(after)s AND subject_id <= %(upto)s
        WINDOW story AS (PARTITION BY subject_id ORDER BY id)
    ), lived AS (
        SELECT operator_id, status, started_at, lag(status) OVER story AS was, lag(ended_at) OVER story AS left_at,
               row_number() OVER story > 1 AS is_change, row_number() OVER (PARTITION BY operator_id ORDER BY id DESC) AS nth
          FROM presence_periods
         WHERE tenant_id = %(tenant_id)s AND operator_id > %(after)s AND operator_id <= %(upto)s
        WINDOW story AS (PARTITION BY operator_id ORDER BY id))
    SELECT operator_id AS id FROM told WHERE was <> stood
    UNION
    SELECT t.operator_id FROM told t LEFT JOIN operator_status s ON s.tenant_id = %(tenant_id)s AND s.operator_id = t.operator_id
     WHERE t.nth = 1 AND s.status IS DISTINCT FROM t.became
    UNION
    SELECT l.operator_id FROM lived l LEFT JOIN told t ON t.operator_id = l.operator_id AND t.nth = l.nth
     WHERE l.is_change AND (l.was, l.status, l.started_at) IS DISTINCT FROM (t.was, t.became, l.left_at)
       AND NOT (t.operator_id IS NULL AND {FORGETFUL})""",
    advice="A status was written past the product, or its event was: what is told of their hours is wrong. Read both; report a bug.",
)

OF_GRACE = (EARLY, GRACE_TOLD)
OF_PEOPLE = (PRESENCE,)

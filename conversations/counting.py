"""The statements by which messages are counted: conversations.ingest says what they mean and in which order they run.

COUNT tells of each message what it changed, one event and one version after another, as if they had come one by one.
"""

from convalloc import clock
from convalloc.prepared import Statement
from conversations import queue, states
from conversations.models import ReceivedMessage
from tenants import eventlog

(REOPEN,) = (move for move in states.TRANSITIONS if move.act == "reopen")
CREATED, RECEIVED, REOPENED = "conversation.created", "message.received", f"conversation.{REOPEN.event}"
INBOUND, OUTBOUND = ReceivedMessage.Direction.INBOUND, ReceivedMessage.Direction.OUTBOUND

# What must be known before anything is locked: the time, the inboxes that are named, and which conversations there are.
INBOXES = """inboxes WHERE tenant_id = %(tenant_id)s::bigint
                      AND (id = ANY (%(ids)s::bigint[]) OR phone_number = ANY (%(numbers)s::text[])) ORDER BY id"""
LOOK = Statement(f"""
    SELECT clock_timestamp() AS now, ARRAY(SELECT phone_number FROM {INBOXES}) AS numbers, ARRAY(SELECT id FROM {INBOXES}) AS ids,
           ARRAY(SELECT external_conversation_id FROM conversations
                  WHERE tenant_id = %(tenant_id)s::bigint AND external_conversation_id = ANY (%(names)s::text[])) AS there
""")
# Empty: the message that opens a conversation is counted like any other. Its place in the queue follows with it.
OPEN = Statement("""
    INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, state, message_count,
                               last_message_at, waits_from, credit, rank, saturated, priority_score, version)
    SELECT %(tenant_id)s::bigint, inbox_id, external_id, number, 'QUEUED', 0, sent_at, sent_at, 0, 0, false, 0, 1
      FROM unnest(%(external_ids)s::text[], %(inbox_ids)s::bigint[], %(numbers)s::text[], %(sent_ats)s::timestamptz[])
           AS new (external_id, inbox_id, number, sent_at)
     ORDER BY external_id
    ON CONFLICT DO NOTHING RETURNING id
""")

# Messages with the conversation as it is. OFFSET 0 has rows probed one by one by their keys, here and below: the planner, who does
# not know how few they are, would read whole tables to meet them.
ARRIVED = f"""
    SELECT m.*, c.tenant_id, c.inbox_id, c.assigned_operator_id, c.customer_phone_number, c.state,
           c.resolved_at, c.message_count, c.last_message_at, c.waiting_since, c.version,
           c.episode AS ended_episode, c.episode + (c.state = '{REOPEN.leaves}')::int AS episode
      FROM unnest(%(conversation_ids)s::bigint[], %(providers)s::text[], %(message_ids)s::text[], %(digests)s::text[],
                  %(directions)s::text[], %(sent_ats)s::timestamptz[])
           WITH ORDINALITY AS m (conversation_id, provider, message_id, digests, direction, sent_at, place)
     CROSS JOIN LATERAL (
        SELECT * FROM conversations WHERE tenant_id = %(tenant_id)s::bigint AND id = m.conversation_id OFFSET 0) c"""
# A copy of what another transaction is counting waits here, until it is known whether that one stands.
KEPT = """
    INSERT INTO received_messages (tenant_id, provider, message_id, conversation_id, direction, sent_at, received_at, episode)
    SELECT tenant_id, provider, message_id, conversation_id, direction, sent_at, statement_timestamp(), episode FROM arrived a
     WHERE NOT EXISTS (
        SELECT FROM received_messages r
         WHERE r.tenant_id = a.tenant_id AND r.provider = a.provider AND r.message_id = ANY (string_to_array(a.digests, ','))
        OFFSET 0)
     ORDER BY provider, message_id
    ON CONFLICT DO NOTHING RETURNING provider, message_id"""
# The conversation after each message, as far as that is a matter of the latest: `answered_at` is the latest outbound one.
SO_FAR = f"""
    SELECT a.*, row_number() OVER so_far AS nth,
           greatest(a.last_message_at, max(a.sent_at) OVER so_far) AS latest,
           coalesce(greatest(before.answered_at, max(a.sent_at) FILTER (WHERE a.direction = '{OUTBOUND}') OVER so_far), '-infinity')
             AS answered_at,
           a.state = '{REOPEN.leaves}' AND count(*) FILTER (WHERE a.direction = '{INBOUND}') OVER so_far > 0 AS reopened,
           a.state = '{REOPEN.leaves}' AND a.direction = '{INBOUND}'
             AND count(*) FILTER (WHERE a.direction = '{INBOUND}') OVER so_far = 1 AS reopens
      FROM arrived a JOIN kept k ON k.provider = a.provider AND k.message_id = a.message_id
     CROSS JOIN LATERAL (
        SELECT max(r.sent_at) AS answered_at FROM received_messages r
         WHERE r.tenant_id = a.tenant_id AND r.conversation_id = a.conversation_id AND r.episode = a.episode
           AND r.direction = '{OUTBOUND}') before
    WINDOW so_far AS (PARTITION BY a.conversation_id ORDER BY a.place)"""
# And since when the customer waits: as before, or since a message of this batch. What was answered just now gives way to the
# next one that is not. What an episode left unanswered when it ended is nothing to the next one.
WAITED = f"""
    SELECT s.*, CASE WHEN s.state = '{REOPEN.leaves}' AND NOT s.reopened THEN s.waiting_since ELSE least(
               CASE WHEN s.reopened THEN NULL
                    WHEN s.waiting_since > s.answered_at THEN s.waiting_since
                    WHEN s.waiting_since IS NOT NULL THEN (
                       SELECT min(r.sent_at) FROM received_messages r
                        WHERE r.tenant_id = s.tenant_id AND r.conversation_id = s.conversation_id AND r.episode = s.episode
                          AND r.direction = '{INBOUND}' AND r.sent_at > s.answered_at)
               END, (
               SELECT min(e.sent_at) FROM so_far e
                WHERE e.conversation_id = s.conversation_id AND e.nth <= s.nth AND e.direction = '{INBOUND}' AND e.sent_at > s.answered_at))
           END AS waits
      FROM so_far s"""
# Each message as a step from one version to the next. The one that reopens makes two: it is received, then it reopens.
STEPS = """
    SELECT w.*, CASE WHEN w.reopens THEN w.waiting_since ELSE w.waits END AS waits_after,
           lag(w.waits, 1, w.waiting_since) OVER step AS waits_before, lag(w.latest, 1, w.last_message_at) OVER step AS latest_before,
           w.version + w.nth + (w.reopened AND NOT w.reopens)::int AS version_after,
           row_number() OVER (PARTITION BY w.conversation_id ORDER BY w.place DESC) = 1 AS is_last
      FROM waited w WINDOW step AS (PARTITION BY w.conversation_id ORDER BY w.place)"""


def _facts(*, count: str, latest: str, waits: str, version: str) -> str:
    return (
        f"jsonb_build_object('message_count', {count}, 'last_message_at', {clock.instant_sql(latest)}, "
        f"'waiting_since', {clock.instant_sql(waits)}, 'version', {version})"
    )


def _life(*, state: str, resolved: str, waits: str, episode: str, version: str) -> str:
    return (
        f"jsonb_build_object('state', '{state}', 'resolved_at', {resolved}, 'waiting_since', {clock.instant_sql(waits)}, "
        f"'episode', {episode}, 'version', {version})"
    )


BORN = _facts(count="0", latest="last_message_at", waits="waiting_since", version="version")
TOLD = f"""
    SELECT tenant_id, conversation_id, inbox_id, assigned_operator_id, version, '{CREATED}' AS kind, '{{}}'::jsonb AS before,
           {BORN} || jsonb_build_object('inbox_id', inbox_id, 'state', state) AS after
      FROM steps WHERE nth = 1 AND conversation_id = ANY (%(opened)s::bigint[])
    UNION ALL
    SELECT tenant_id, conversation_id, inbox_id, assigned_operator_id, version_after, '{RECEIVED}',
           {_facts(count="message_count + nth - 1", latest="latest_before", waits="waits_before", version="version_after - 1")},
           {_facts(count="message_count + nth", latest="latest", waits="waits_after", version="version_after")}
      FROM steps
    UNION ALL
    SELECT tenant_id, conversation_id, inbox_id, assigned_operator_id, version_after + 1, '{REOPENED}',
           {
    _life(
        state=REOPEN.leaves,
        resolved=clock.instant_sql("resolved_at"),
        waits="waiting_since",
        episode="ended_episode",
        version="version_after",
    )
},
           {_life(state=REOPEN.enters, resolved="NULL", waits="waits", episode="episode", version="version_after + 1")}
      FROM steps WHERE reopens"""
MOVED = f"""
    UPDATE conversations c
       SET message_count = p.message_count, last_message_at = p.last_message_at, waiting_since = p.waiting_since,
           version = p.new_version, updated_at = statement_timestamp(),
           state = CASE WHEN p.reopened THEN '{REOPEN.enters}' ELSE c.state END,
           resolved_at = CASE WHEN p.reopened THEN NULL ELSE c.resolved_at END,
           episode = CASE WHEN p.reopened THEN p.episode ELSE c.episode END, {queue.PLACE}
      FROM placed p WHERE c.tenant_id = %(tenant_id)s::bigint AND c.id = p.id AND c.version = p.old_version"""

COUNT = Statement(f"""
    WITH arrived AS MATERIALIZED ({ARRIVED}), kept AS ({KEPT}), so_far AS MATERIALIZED ({SO_FAR}), waited AS ({WAITED}),
    steps AS MATERIALIZED ({STEPS}), batch AS (
        SELECT c.*, {queue.WAITS_FROM} AS waits_from FROM (
            SELECT conversation_id AS id, message_count + nth AS message_count, latest AS last_message_at, waits AS waiting_since, reopened,
                   episode, version AS old_version, version_after + reopens::int AS new_version FROM steps WHERE is_last) c
    ), placed AS ({queue.PLACED}), moved AS ({MOVED}), told AS ({TOLD}), announced AS ({
    eventlog.append_sql(
        "kind",
        "conversation",
        subject_id="conversation_id",
        before="before",
        after="after",
        whereabouts="conversation_id, inbox_id, assigned_operator_id",
        rows="told ORDER BY conversation_id, version",
    )
})
    SELECT place, conversation_id, inbox_id, customer_phone_number, reopens,
           nth = 1 AND conversation_id = ANY (%(opened)s::bigint[]) AS created
      FROM steps
""")

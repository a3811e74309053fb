"""Where the next page of a list is, found without reading what lies before it: page 10,000 costs what page 1 costs.

Within one inbox and one state, every order is that of an index, or of a few. A page is therefore a merge: of each
inbox that the viewer sees, and each state asked for, the first few after the cursor; of all these, the first few.

By priority, as of the walk's instant, an inbox and state have two heads, which their order by rank serves, and strays.
The heads are the rows whose flag says on which side of the delay cap they were at that instant. Strays are those of
which it does not: crossed the cap since the last tick; flagged since the walk began, or before the cap was raised;
from the future. They are read whole and sorted, and the tick keeps them few; were it dead, only more would be read.

What this finds are ids: candidates, of which the caller's own rows decide. It locks nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.db.models import BigIntegerField
from django.db.models.expressions import RawSQL
from psycopg import sql

from conversations.models import ConversationLabel
from conversations.priority import Weights, microseconds
from conversations.states import State
from operators.models import Operator
from tenants import isolation

FEW = 5000  # wearers of a label: so many are read and sorted; of more, a page is found while walking past the others
BIGGEST = 2**63 - 1

# Braces hold SQL of this file and of priority.Weights, and literals that psycopg spelled.
MERGE = """
    SELECT id FROM (
        SELECT h.*
          FROM (SELECT i.id AS inbox_id, s.state FROM inboxes i CROSS JOIN unnest({states}::text[]) s (state)
                 WHERE i.tenant_id = {tenant}{narrowed}{answered}) p
         CROSS JOIN LATERAL ({heads}) h
        {held}
    ) every_head ORDER BY {order} LIMIT {limit}
"""
HERE = "conversations.tenant_id = {tenant} AND conversations.inbox_id = p.inbox_id AND conversations.state = p.state{worn}"
ANSWERED_AT = "SELECT s.inbox_id FROM operator_inbox_subscriptions s WHERE s.tenant_id = {tenant} AND s.operator_id = {viewer}"
# What somebody holds at an inbox where they do not answer: a handful, read whole.
HELD = """UNION ALL
        (SELECT {columns} FROM conversations JOIN inboxes i ON i.tenant_id = conversations.tenant_id AND i.id = conversations.inbox_id
          WHERE conversations.tenant_id = {tenant} AND conversations.assigned_operator_id = {viewer} AND conversations.state = 'ALLOCATED'
            AND conversations.inbox_id NOT IN ({answered_at}){narrowed}{worn} {after}
          ORDER BY {order} LIMIT {limit})"""
# A label sits on conversations of its own inbox only. WORN is a sub-select that the planner cannot turn into a join:
# it is asked of one row after another, in the order of the index.
LABELS_INBOX = " AND i.id = (SELECT l.inbox_id FROM labels l WHERE l.tenant_id = {tenant} AND l.id = {label})"
WORN = """
            AND (SELECT true FROM conversation_labels l
                  WHERE l.tenant_id = {tenant} AND l.conversation_id = conversations.id AND l.label_id = {label})"""
RANKED = """
    (SELECT conversations.id, conversations.waits_from, {level} - conversations.rank AS effective FROM conversations
      WHERE {here} AND {side} {after}
      ORDER BY conversations.rank, conversations.waits_from, conversations.id LIMIT {limit})
"""
STRAY = """
    (SELECT conversations.id, conversations.waits_from, {effective} AS effective FROM conversations
      WHERE {here} AND {side} {after}
      ORDER BY effective DESC, waits_from, id LIMIT {limit})
"""
TIMED = """
    SELECT conversations.id, conversations.last_message_at FROM conversations WHERE {here} {after} ORDER BY {order} LIMIT {limit}
"""
UNFLAGGED = "NOT conversations.saturated AND conversations.waits_from > {now} - {delay_cap} AND conversations.waits_from <= {now}"
FLAGGED = "conversations.saturated AND conversations.waits_from <= {now} - {delay_cap}"
CROSSED = "NOT conversations.saturated AND conversations.waits_from <= {now} - {delay_cap}"
FUTURE = "NOT conversations.saturated AND conversations.waits_from > {now}"
FLAGGED_SINCE = "conversations.saturated AND conversations.waits_from > {now} - {delay_cap}"


# What a head says of a row is what the cursor keeps: should ranks mix after a change of weights, or be wrong, a walk still
# meets every row exactly once.
STANDING = (
    "(CASE WHEN {unflagged} THEN {at_first} - conversations.rank WHEN {flagged} THEN {at_cap} - conversations.rank ELSE {effective} END)"
)


class Position(NamedTuple):
    """The row that a walk by priority stands at, by what orders it."""

    effective: int
    waits_from: datetime
    id: int


class Moment(NamedTuple):
    """The row that a walk by time stands at."""

    last_message_at: datetime
    id: int


class Walk(NamedTuple):
    """A list as somebody sees it, narrowed to an inbox, a state, a label, or to none of them."""

    viewer: Operator
    inbox_id: int | None
    state: str | None
    label_id: int | None

    @classmethod
    def through(cls, viewer: Operator, filters: Mapping[str, Any]) -> Self | None:
        """The walk of these filters. None where what fits is few, to be read and sorted: what one person holds, a rare label."""
        label_id = filters.get("label_id")
        if "operator_id" in filters or (label_id is not None and is_rare(label_id)):
            return None
        return cls(viewer, filters.get("inbox_id"), filters.get("state"), label_id)

    def by_priority(self, weights: Weights, now: datetime, after: Position | None, limit: int) -> RawSQL:
        """Ids of the first `limit` rows after a position, in the order of the queue at `now`: highest first."""
        instant = {"now": _literal(now), "delay_cap": weights.in_sql.delay_cap_interval}
        effective = weights.in_sql.effective("conversations.credit", "conversations.waits_from", instant["now"])
        ranked = [
            RANKED.format(here=self._here, limit=limit, level=level, side=side.format(**instant), after=_after_rank(level, after))
            for side, level in zip((UNFLAGGED, FLAGGED), _levels(weights, now), strict=True)
        ]
        later = (
            ""
            if after is None
            else f"AND (-{effective}, conversations.waits_from, conversations.id) > {_row(-after.effective, *after[1:])}"
        )
        strays = [
            STRAY.format(here=self._here, limit=limit, effective=effective, side=side.format(**instant), after=later)
            for side in (CROSSED, FUTURE, FLAGGED_SINCE)
        ]
        columns = f"conversations.id, conversations.waits_from, {effective} AS effective"
        return self._merge("UNION ALL".join(ranked + strays), columns, "effective DESC, waits_from, id", later, limit)

    @staticmethod
    def effective(weights: Weights, now: datetime) -> RawSQL:
        """What `by_priority` orders by, of a row of conversations."""
        instant = {"now": _literal(now), "delay_cap": weights.in_sql.delay_cap_interval}
        unflagged, flagged = _levels(weights, now)
        standing = STANDING.format(
            unflagged=UNFLAGGED.format(**instant),
            flagged=FLAGGED.format(**instant),
            at_first=unflagged,
            at_cap=flagged,
            effective=weights.in_sql.effective("conversations.credit", "conversations.waits_from", instant["now"]),
        )
        return RawSQL(standing, [], output_field=BigIntegerField())

    def by_time(self, after: Moment | None, limit: int, *, newest_first: bool) -> RawSQL:
        """Ids of the first `limit` rows after a moment."""
        direction, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        order = f"last_message_at {direction}, id {direction}"
        later = "" if after is None else f"AND (conversations.last_message_at, conversations.id) {beyond} {_row(*after)}"
        heads = TIMED.format(here=self._here, after=later, order=order, limit=limit)
        return self._merge(heads, "conversations.id, conversations.last_message_at", order, later, limit)

    def _merge(self, heads: str, columns: str, order: str, after: str, limit: int) -> RawSQL:
        whose = {"tenant": isolation.current_tenant_id(), "viewer": _literal(self.viewer.pk), "label": _literal(self.label_id)}
        states = [self.state] if self.state else [str(state) for state in State]
        narrowed = "" if self.inbox_id is None else f" AND i.id = {_literal(self.inbox_id)}"
        if self.label_id is not None:
            narrowed += LABELS_INBOX.format(**whose)
        answered = held = ""
        if not self.viewer.is_manager:
            answered_at = ANSWERED_AT.format(**whose)
            answered = f" AND i.id IN ({answered_at})"
            if State.ALLOCATED in states:
                words = {"columns": columns, "order": order, "after": after, "limit": limit, "worn": self._worn}
                held = HELD.format(answered_at=answered_at, narrowed=narrowed, **words, **whose)
        words = {"heads": heads, "held": held, "order": order, "limit": limit}
        return RawSQL(MERGE.format(states=_literal(states), narrowed=narrowed, answered=answered, **words, **whose), [])

    @property
    def _here(self) -> str:
        return HERE.format(tenant=isolation.current_tenant_id(), worn=self._worn)

    @property
    def _worn(self) -> str:
        return "" if self.label_id is None else WORN.format(tenant=isolation.current_tenant_id(), label=_literal(self.label_id))


def is_rare(label_id: int) -> bool:
    """Whether few conversations wear a label; counts no further than that."""
    return ConversationLabel.objects.filter(label_id=label_id)[: FEW + 1].count() <= FEW


def _levels(weights: Weights, now: datetime) -> tuple[int, int]:
    """effective = level - rank: a row not yet at the cap has waited now - waits_from, a saturated one the cap."""
    return weights.waiting_counts * microseconds(now), weights.waiting_counts * weights.delay_cap


def _after_rank(level: int, after: Position | None) -> str:
    if after is None:
        return ""
    rank = max(-BIGGEST, min(level - after.effective, BIGGEST))  # a forged cursor may name any
    return f"AND (conversations.rank, conversations.waits_from, conversations.id) > {_row(rank, *after[1:])}"


def _row(*values: Any) -> str:
    return f"({', '.join(map(_literal, values))})"


def _literal(value: Any) -> str:
    return sql.Literal(value).as_string()

"""Which conversations make the next page of a list, found without reading what lies before it: page 10,000 costs what page 1 costs.

Within one inbox and one state, every order is that of an index, or of a few. A page is therefore a merge: of each
inbox that the viewer sees, and each state asked for, the first few after the cursor; of all these, the first few.

By priority, as of the walk's instant, an inbox and state have two heads, which their order by rank serves, and strays.
The heads are the rows whose flag says on which side of the delay cap they were at that instant. Strays are those of
which it does not: crossed the cap since the last tick; flagged since the walk began, or before the cap was raised;
from the future. They are read whole and sorted, and the tick keeps them few; were it dead, only more would be read.

Where what fits is few (what one person holds, a customer's number, a rare label), it is read and sorted.

What this finds are ids, with what orders them; conversations.api.wire says the rest of them in the same statement. The
text depends on the shape of the question alone, so that a session plans it once: what is asked for comes as parameters.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Self

from conversations.models import ConversationLabel
from conversations.priority import NAMED, Weights, microseconds
from conversations.states import State
from operators.models import Operator
from tenants import isolation

FEW = 5000  # wearers of a label: so many are read and sorted; of more, a page is found while walking past the others
ROOMS = (21, 101, 1001)  # how far a head is read: the usual page and one row more, and what others ask for
BIGGEST = 2**63 - 1

MERGE = """
    SELECT * FROM (
        SELECT h.*
          FROM (SELECT i.id AS inbox_id, s.state FROM inboxes i CROSS JOIN unnest(%(states)s::text[]) s (state)
                 WHERE i.tenant_id = %(tenant_id)s{narrowed}{answered}) p
         CROSS JOIN LATERAL ({heads}) h
        {held}
    ) every_head ORDER BY {order} LIMIT %(limit)s
"""
HERE = "c.tenant_id = %(tenant_id)s AND c.inbox_id = p.inbox_id AND c.state = p.state{worn}"
ANSWERED_AT = "SELECT s.inbox_id FROM operator_inbox_subscriptions s WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(viewer_id)s"
ANSWERED = f" AND i.id IN ({ANSWERED_AT})"
# What somebody holds at an inbox where they do not answer: a handful, read whole.
HELD = f"""UNION ALL
        (SELECT {{columns}} FROM conversations c JOIN inboxes i ON i.tenant_id = c.tenant_id AND i.id = c.inbox_id
          WHERE c.tenant_id = %(tenant_id)s AND c.assigned_operator_id = %(viewer_id)s AND c.state = 'ALLOCATED'
            AND 'ALLOCATED' = ANY (%(states)s::text[]) AND c.inbox_id NOT IN ({ANSWERED_AT}){{narrowed}}{{worn}} {{after}}
          ORDER BY {{order}} LIMIT {{room}})"""
AT_INBOX = " AND i.id = %(inbox_id)s"
# A label sits on conversations of its own inbox only. WORN is a sub-select that the planner cannot turn into a join:
# it is asked of one row after another, in the order of the index.
LABELS_INBOX = " AND i.id = (SELECT l.inbox_id FROM labels l WHERE l.tenant_id = %(tenant_id)s AND l.id = %(label_id)s)"
WORN = """
            AND (SELECT true FROM conversation_labels l
                  WHERE l.tenant_id = %(tenant_id)s AND l.conversation_id = c.id AND l.label_id = %(label_id)s)"""
RANKED = """
    (SELECT c.id, c.waits_from, %({level})s::bigint - c.rank AS effective FROM conversations c
      WHERE {here} AND {side} {after} ORDER BY c.rank, c.waits_from, c.id LIMIT {room})
"""
STRAY = """
    (SELECT {columns} FROM conversations c WHERE {here} AND {side} {after} ORDER BY {order} LIMIT {room})
"""
NOW = "%(now)s::timestamptz"
CAP = NAMED.delay_cap_interval
# The large heads say what sets them apart in a way that no index serves: see queue.HEADS.
HEADS = {
    "level_first": f"NOT c.saturated AND {NOW} - c.waits_from < {CAP} AND c.waits_from - {NOW} <= interval '0'",
    "level_cap": f"c.saturated AND {NOW} - c.waits_from >= {CAP}",
}
STRAYS = (
    f"NOT c.saturated AND c.waits_from <= {NOW} - {CAP}",
    f"NOT c.saturated AND c.waits_from > {NOW}",
    f"c.saturated AND c.waits_from > {NOW} - {CAP}",
)
FEW_ROWS = "SELECT {columns} FROM {these} WHERE c.tenant_id = %(tenant_id)s{conditions} {after} ORDER BY {order} LIMIT %(limit)s"
# One by one, which OFFSET 0 says to the planner: it would read the whole table to meet the average label's wearers in it.
WEARERS = """conversation_labels w CROSS JOIN LATERAL (
        SELECT * FROM conversations c WHERE c.tenant_id = w.tenant_id AND c.id = w.conversation_id OFFSET 0) c"""
CONDITIONS = {
    "inbox_id": " AND c.inbox_id = %(inbox_id)s",
    "state": " AND c.state = ANY (%(states)s::text[])",
    # Only an allocated one has a holder; said aloud, because the index is of those alone.
    "operator_id": " AND c.assigned_operator_id = %(operator_id)s AND c.state = 'ALLOCATED'",
    "phone_number": " AND c.customer_phone_number = ANY (%(phone_number)s::text[])",
}
BY_LABEL = " AND w.tenant_id = %(tenant_id)s AND w.label_id = %(label_id)s"
FEW_BY_THEMSELVES = {"operator_id", "phone_number"}
VISIBLE = f" AND (c.inbox_id IN ({ANSWERED_AT}) OR c.assigned_operator_id = %(viewer_id)s)"
EFFECTIVE = NAMED.effective("c.credit", "c.waits_from", NOW)


class Order(NamedTuple):
    """One way to order conversations: its columns, how they sort, and what comes after a cursor's place (parameters `at_...`)."""

    columns: str
    by: str
    after: str


ORDERS = {
    "priority": Order(
        columns=f"c.id, c.waits_from, {EFFECTIVE} AS effective",
        by="effective DESC, waits_from, id",
        after=f"AND (-{EFFECTIVE}, c.waits_from, c.id) > (-%(at_effective)s::bigint, %(at_waits_from)s::timestamptz, %(at_id)s::bigint)",
    ),
    "newest": Order(
        columns="c.id, c.last_message_at",
        by="last_message_at DESC, id DESC",
        after="AND (c.last_message_at, c.id) < (%(at_last_message_at)s::timestamptz, %(at_id)s::bigint)",
    ),
    "oldest": Order(
        columns="c.id, c.last_message_at",
        by="last_message_at, id",
        after="AND (c.last_message_at, c.id) > (%(at_last_message_at)s::timestamptz, %(at_id)s::bigint)",
    ),
}
AFTER_RANK = "AND (c.rank, c.waits_from, c.id) > (%(at_{level})s::bigint, %(at_waits_from)s::timestamptz, %(at_id)s::bigint)"


class Shape(NamedTuple):
    """What the text of a page's source depends on."""

    sort: str
    filters: frozenset[str]
    sees_all: bool
    beyond: bool  # a cursor's place
    walking: bool
    room: int


class View(NamedTuple):
    """A list as somebody sees it: of what they may see, narrowed by filters."""

    viewer: Operator
    filters: Mapping[str, Any]
    walking: bool

    @classmethod
    def of(cls, viewer: Operator, filters: Mapping[str, Any]) -> Self:
        """What is many is walked; what is few is read and sorted."""
        few = filters.keys() & FEW_BY_THEMSELVES or ("label_id" in filters and is_rare(filters["label_id"]))
        return cls(viewer, filters, walking=not few)

    def shape(self, sort: str, limit: int, *, beyond: bool) -> Shape:
        """What the text of this list's page depends on."""
        room = next((room for room in ROOMS if limit <= room), limit)
        return Shape(sort, frozenset(self.filters), self.viewer.is_manager, beyond, self.walking, room)

    def parameters(self, weights: Weights, now: datetime, limit: int) -> dict[str, Any]:
        """What is asked for, but for the place of the cursor."""
        states = [self.filters["state"]] if "state" in self.filters else State.values
        whose = {"tenant_id": isolation.current_tenant_id(), "viewer_id": self.viewer.pk, "states": states, "limit": limit, "now": now}
        return whose | dict(self.filters) | weights.parameters | _levels(weights, now)


def beyond(sort: str, place: Sequence[Any], weights: Weights, now: datetime) -> dict[str, Any]:
    """The place of a cursor as parameters: (effective, waits_from, id) by priority, (last_message_at, id) by time."""
    if sort != "priority":
        return dict(zip(("at_last_message_at", "at_id"), place, strict=True))
    effective, waits_from, id_ = place
    ranks = {f"at_{name}": _bigint(level - effective) for name, level in _levels(weights, now).items()}
    return {"at_effective": _bigint(effective), "at_waits_from": waits_from, "at_id": id_} | ranks


@cache
def source(shape: Shape) -> str:
    """SQL of the ids of a page, with the columns that order it."""
    order = ORDERS[shape.sort]
    after = order.after if shape.beyond else ""
    if not shape.walking:
        return _few(shape, order, after)

    narrowed = (AT_INBOX if "inbox_id" in shape.filters else "") + (LABELS_INBOX if "label_id" in shape.filters else "")
    worn = WORN if "label_id" in shape.filters else ""
    words = {"columns": order.columns, "order": order.by, "after": after, "room": shape.room, "here": HERE.format(worn=worn)}
    return MERGE.format(
        heads=_heads_by_priority(shape, words) if shape.sort == "priority" else STRAY.format(side="true", **words),
        held="" if shape.sees_all else HELD.format(narrowed=narrowed, worn=worn, **words),
        narrowed=narrowed,
        answered="" if shape.sees_all else ANSWERED,
        order=order.by,
    )


def _few(shape: Shape, order: Order, after: str) -> str:
    by_label = "label_id" in shape.filters and not shape.filters & FEW_BY_THEMSELVES
    conditions = [condition for name, condition in CONDITIONS.items() if name in shape.filters]
    if "label_id" in shape.filters:
        conditions.append(BY_LABEL if by_label else WORN)
    if not shape.sees_all:
        conditions.append(VISIBLE)
    these = WEARERS if by_label else "conversations c"
    return FEW_ROWS.format(columns=order.columns, these=these, conditions="".join(conditions), after=after, order=order.by)


def _heads_by_priority(shape: Shape, words: dict[str, Any]) -> str:
    heads = [
        RANKED.format(level=level, side=side, **words | {"after": AFTER_RANK.format(level=level) if shape.beyond else ""})
        for level, side in HEADS.items()
    ]
    return "UNION ALL".join(heads + [STRAY.format(side=side, **words) for side in STRAYS])


def _bigint(value: int) -> int:
    """A number that its negative fits too: a forged cursor may name any."""
    return max(-BIGGEST, min(value, BIGGEST))


def _levels(weights: Weights, now: datetime) -> dict[str, int]:
    """effective = level - rank: a row not yet at the cap has waited now - waits_from, a saturated one the cap."""
    return {"level_first": weights.waiting_counts * microseconds(now), "level_cap": weights.waiting_counts * weights.delay_cap}


def is_rare(label_id: int) -> bool:
    """Whether few conversations wear a label; counts no further than that."""
    return ConversationLabel.objects.filter(label_id=label_id)[: FEW + 1].count() <= FEW

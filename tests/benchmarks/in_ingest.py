"""Messages into conversations that there are: the product's room, one at a time and in batches, beside a bare INSERT and UPDATE of each.

The bare UPDATE writes what a message changes at the least: the count and the time of the latest.
"""

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from conversations import ingest
from conversations.ingest import Message
from tenants import isolation
from tenants.models import Tenant
from tests.benchmarks import crowd
from tests.benchmarks.ground import Ground
from tests.benchmarks.in_sql import BEGIN, crew, cursor_on
from tests.benchmarks.over_http import in_turn
from tests.benchmarks.report import Report, Round
from tests.benchmarks.size import Size

BATCH = 100
BARE = """
    INSERT INTO received_messages (tenant_id, provider, message_id, conversation_id, direction, sent_at, episode)
    VALUES (%(tenant_id)s, 'default', %(message_id)s, %(conversation_id)s, 'inbound', now(), 1);
    UPDATE conversations SET message_count = message_count + 1, last_message_at = greatest(last_message_at, now())
     WHERE tenant_id = %(tenant_id)s AND id = %(conversation_id)s
"""


def receive(ground: Ground, full: str, size: Size, report: Report) -> None:
    """All with as many clients; a rate is one of messages."""
    with ground.copy(full) as copy:
        alone, together, bare = "ingest, a message alone", f"ingest, in batches of {BATCH}", "bare INSERT + UPDATE"
        turns = {
            alone: lambda: crew(ground, copy, one, size, None),
            together: lambda: each_of(BATCH, crew(ground, copy, many, size, None)),
            bare: lambda: crew(ground, copy, bare_statements, size, None),
        }
        found = in_turn(turns, size.rounds, report)
    report.compared("ingest in batches / bare INSERT + UPDATE", ">= 0.25", found[together], found[bare])
    report.compared("ingest alone / bare INSERT + UPDATE", ">= 0.25", found[alone], found[bare])


def each_of(number: int, turn: Round) -> Round:
    """The same turn, counted by messages."""
    milliseconds = [value / number for value in turn.milliseconds for _ in range(number)]
    return Round(turn.count * number, turn.seconds, milliseconds, turn.spent, turn.trouble)


def one(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """A delivery of one message, all of its Python and all of its statements."""
    return receiving(1, queued)


def many(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """A delivery of a batch."""
    return receiving(BATCH, queued)


def receiving(number: int, queued: int) -> Callable[[], bool]:
    """Deliveries to conversations that there are."""
    with isolation.act_as(crowd.TENANT):
        tenant = Tenant.objects.get(pk=crowd.TENANT)

    def act() -> bool:
        messages = [told(random.randint(1, queued)) for _ in range(number)]
        with isolation.act_as(crowd.TENANT):
            return all(outcome.status == ingest.Status.COUNTED for outcome in ingest.receive(tenant, messages))

    return act


def told(thread: int) -> Message:
    """A new message of a thread of crowd's."""
    return Message(uuid.uuid4().hex, f"ext {thread}", 1, f"+1987{thread}", "inbound", datetime.now(UTC))


def bare_statements(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """The least that a message could cost."""
    cursor: Any = cursor_on(url)

    def act() -> bool:
        conversation_id = random.randint(1, queued)
        cursor.execute(BEGIN)
        cursor.execute(BARE, {"tenant_id": crowd.TENANT, "message_id": uuid.uuid4().hex, "conversation_id": conversation_id})
        cursor.execute("COMMIT")
        return True

    return act

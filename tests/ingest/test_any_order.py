"""Messages in any order, any number of times, in batches of any size: the conversation is what a plain model says."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conversations import counting, ingest, lifecycle
from conversations.ingest import Message
from conversations.models import Conversation
from conversations.states import State
from tenants import isolation
from tests.conftest import Cast
from tests.conversations import invariants
from tests.ingest.expectation import expected, row_of

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PHASES = 3
threads = count()


@st.composite
def lives(draw: st.DrawFn) -> list[list[list[tuple[int, str, int]]]]:
    """For each phase the batches that come in it: messages as (number, direction, minute), those of earlier phases too."""
    sent = [
        (number, draw(st.sampled_from(["inbound", "outbound"])), draw(st.integers(0, 6)), draw(st.integers(0, PHASES - 1)))
        for number in range(draw(st.integers(1, 7)))
    ]
    sent[0] = (*sent[0][:3], 0)  # somebody opens it
    phases = []
    for phase in range(PHASES):
        new = [message[:3] for message in sent if message[3] == phase]
        old = [message[:3] for message in sent if message[3] <= phase]
        again = draw(st.lists(st.sampled_from(old), max_size=4))
        coming = draw(st.permutations(new + again))
        size = draw(st.integers(1, 3))
        phases.append([coming[start : start + size] for start in range(0, len(coming), size)])
    return phases


def told(cast: Cast, thread: int, message: tuple[int, str, int]) -> Message:
    number, direction, minute = message
    sent_at = NOON + timedelta(minutes=minute)
    return Message(f"m{thread}-{number}", f"thread {thread}", cast.support.pk, "+12025550123", direction, sent_at)


def live(cast: Cast, phases: list[list[list[tuple[int, str, int]]]]) -> None:
    """Deliver everything, phase by phase, and hold the row against the model after each."""
    thread, seen = next(threads), list[set[Message]]()
    with isolation.act_as(cast.tenant.pk):
        for number, batches in enumerate(phases):
            row = Conversation.objects.filter(external_conversation_id=f"thread {thread}").first()
            if number and row is not None and row.state != State.RESOLVED:
                lifecycle.resolve(row.pk, by=cast.mia)
            coming = [[told(cast, thread, message) for message in batch] for batch in batches]
            before = set().union(*seen)
            seen.append({message for batch in coming for message in batch} - before)
            for batch in coming:
                outcomes = ingest.receive(cast.tenant, batch)
                assert [outcome.status == "refused" for outcome in outcomes] == [False] * len(batch)
            after = Conversation.objects.get(external_conversation_id=f"thread {thread}")
            assert row_of(after) == expected(seen)
        invariants.assert_the_log_is_the_row(after)


QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(phases=lives())
def test_order_and_repetition_change_nothing(cast: Cast, phases: list[list[list[tuple[int, str, int]]]]) -> None:
    live(cast, phases)


@pytest.mark.parametrize(
    ("guard", "without"),
    [
        ("greatest(a.last_message_at, max(a.sent_at) OVER so_far)", "a.sent_at"),
        ("e.sent_at > s.answered_at", "true"),
        ("s.waiting_since > s.answered_at", "true"),
        ("+ (c.state = 'RESOLVED')::int AS episode", "AS episode"),
    ],
)
def test_control_a_rule_less_is_noticed(cast: Cast, guard: str, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard in counting.COUNT.text
    monkeypatch.setattr(ingest, "COUNT", type(counting.COUNT)(counting.COUNT.text.replace(guard, without)))

    @settings(QUICK, phases=[Phase.generate])
    @given(phases=lives())
    def noticed(phases: list[Any]) -> None:
        live(cast, phases)

    with pytest.raises(AssertionError):
        noticed()


def test_the_doctor_agrees_with_every_life(cast: Cast) -> None:
    for minute in range(3):
        live(cast, [[[(0, "inbound", minute), (1, "outbound", 3)]], [[(2, "inbound", 1)]], [[(0, "inbound", minute)]]])

    invariants.assert_all(cast)

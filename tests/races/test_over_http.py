"""Taking work through the API's own processes: the answers that clients get, and what they agree with in the database."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from conversations.models import Assignment, Conversation
from conversations.states import State
from operators.models import Operator
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.factories import ConversationFactory, OperatorFactory
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")  # one of xdist's workers starts the servers


@dataclass
class Share:
    """What one caller was handed, and what they heard that they should not have."""

    operator: Operator
    taken: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def crowded(people: int, conversations: int) -> tuple[Cast, list[Operator], list[int]]:
    """A tenant with so many operators of support, and the ids of what waits there."""
    cast = assemble()
    with isolation.act_as(cast.tenant.pk):
        operators = [OperatorFactory.create(inboxes=[cast.support]) for _ in range(people)]
        waiting = [ConversationFactory.create(inbox=cast.support, message_count=n % 7, minutes_ago=n % 50).pk for n in range(conversations)]
    return cast, operators, waiting


def takes(cast: Cast, caller: Caller, wishes: list[int]) -> Share:
    """Claim each of the wishes, then allocate until told that nothing waits."""
    share = Share(caller.operator)
    for wish in wishes:
        answer = caller.post("/conversations/claim", operator_id=caller.operator.pk, conversation_id=wish)
        if answer.status == 200:
            share.taken.append(wish)
        elif (answer.status, answer.body["code"]) != (409, "already_allocated"):
            share.faults.append(f"a claim: {answer.status} {answer.body}")
    while (answer := caller.post("/conversations/allocate", operator_id=caller.operator.pk)).status == 200 and answer.data:
        share.taken.append(answer.data["id"])
    if answer.status != 200:
        share.faults.append(f"an allocation: {answer.status} {answer.body}")
    # Nobody gives anything back: what waits now, has waited when "nothing" was said.
    elif left := caller.call("GET", "/conversations?state=QUEUED", as_=cast.mia).data["conversations"]:
        share.faults.append(f"told that nothing waits, while {len(left)} did")
    return share


def rush(port: int, people: int, conversations: int) -> tuple[Cast, list[Share]]:
    """All callers at one instant, half of them with wishes of their own."""
    cast, operators, waiting = crowded(people, conversations)
    luck = random.Random(7)
    with callers(port, operators) as crowd:
        wishes = [luck.sample(waiting, 6) if number % 2 else [] for number in range(people)]
        acts = [lambda caller=caller, wish=wish: takes(cast, caller, wish) for caller, wish in zip(crowd, wishes, strict=True)]
        return cast, released(acts)


def differences(cast: Cast, shares: list[Share]) -> list[str]:
    """Where what was answered is not what is in the database, each conversation exactly once."""
    times = Counter(id_ for share in shares for id_ in share.taken)
    answered = sorted((id_, share.operator.pk) for share in shares for id_ in share.taken)
    with isolation.act_as(cast.tenant.pk):
        held = sorted(Conversation.objects.filter(state=State.ALLOCATED).values_list("pk", "assigned_operator_id"))
        opened = sorted(Assignment.objects.filter(ended_at__isnull=True).values_list("conversation_id", "operator_id"))
    found = {
        "handed out more than once": [id_ for id_, number in times.items() if number > 1],
        "answered, but not held so": sorted(set(answered) ^ set(held)),
        "held, but not assigned so": sorted(set(opened) ^ set(held)),
    }
    return [f"{what}: {which}" for what, which in found.items() if which]


def test_sixty_four_callers_share_a_hundred_conversations_each_exactly_once(committed: None, product: int) -> None:
    cast, shares = rush(product, 64, 100)

    assert [fault for share in shares for fault in share.faults] == []
    assert differences(cast, shares) == []
    assert sum(len(share.taken) for share in shares) == 100
    invariants.assert_all(cast)


def test_control_without_locks_callers_meet_on_the_same_conversation(committed: None, without_locks: int) -> None:
    cast, shares = rush(without_locks, 16, 40)

    assert [fault for share in shares for fault in share.faults] + differences(cast, shares)

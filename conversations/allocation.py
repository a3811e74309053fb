"""Who gets which conversation: the best one, a chosen one, or one that a manager hands over.

All three hold the operator's lock first, so that no work slips past an OFFLINE, then the conversation's.
"""

from convalloc import clock
from conversations import capacity, lifecycle, queue
from conversations.errors import CapacityExceeded, HeldByAnother
from conversations.lifecycle import Override
from conversations.models import Conversation
from conversations.states import State
from operators import presence
from operators.models import Operator, OperatorStatus
from tenants.models import Tenant


def allocate_next(operator_id: int, tenant: Tenant) -> Conversation | None:
    """Give the operator the conversation of their inboxes with the highest score now; None when nothing waits.

    Raises Missing, OperatorDisabled, OperatorNotAvailable, CapacityExceeded.
    """
    target = presence.lock(operator_id)
    lifecycle.refuse_absent(target)
    capacity.refuse_full(target)
    conversation = queue.lock_best(operator_id, tenant)
    if conversation is None:
        return None
    return lifecycle.hand_to(target, conversation, lifecycle.step("allocate", conversation), clock.now())


def allocate_many(operator_id: int, tenant: Tenant, count: int) -> list[Conversation]:
    """As `allocate_next`, up to `count` times, best first, as far as the operator's capacity reaches. Raises as that, if it gave none."""
    given: list[Conversation] = []
    while len(given) < count:
        try:
            conversation = allocate_next(operator_id, tenant)
        except CapacityExceeded:
            if not given:
                raise
            break
        if conversation is None:
            break
        given.append(conversation)
    return given


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
    return lifecycle.hand_to(target, conversation, lifecycle.step(act, conversation), clock.now(), cause=override.reason)

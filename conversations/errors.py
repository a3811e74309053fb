"""How this floor refuses: one class per refusal; its docstring is the message."""

from convalloc.errors import DomainError, Forbidden, Invalid, Kind
from conversations import states
from conversations.states import State


class NotQueued(DomainError):
    """Conversation is {state}, not QUEUED"""

    code = "not_queued"


class QueueBusy(DomainError):
    """Other operators took everything that was looked at: try again"""

    kind = Kind.UNAVAILABLE
    code = "queue_busy"


class NotAllocated(DomainError):
    """Conversation is {state}, not ALLOCATED"""

    code = "not_allocated"


class AlreadyResolved(DomainError):
    """Conversation is already resolved"""

    code = "already_resolved"


class HeldByAnother(DomainError):
    """Conversation is already allocated to {holder}"""

    code = "already_allocated"


class OperatorNotAvailable(DomainError):
    """Operator is {status}, and only an AVAILABLE operator gets work"""

    code = "operator_not_available"


class CapacityExceeded(DomainError):
    """Operator already holds {current} of at most {limit} conversations"""

    code = "capacity_exceeded"


class OperatorDisabled(DomainError):
    """Operator's account is disabled: it gets no work"""

    code = "operator_disabled"


class NotTheHolder(Forbidden):
    """You do not have permission to do this to a conversation that you do not hold"""

    code = "not_the_holder"


class GraceEnded(DomainError):
    """The grace period has ended already: {end_reason}"""

    code = "grace_ended"


class GraceTooLong(DomainError):
    """A grace period can be extended to at most {days} days from now"""

    code = "grace_too_long"


class ForceNeedsReason(Invalid):
    """Validation failed"""

    def __init__(self) -> None:
        super().__init__(fields={"reason": '"reason" is required when "force" is true'})


class SentInTheFuture(Invalid):
    """The message was sent more than {minutes} minutes from now: see to its sender's clock"""

    code = "sent_in_the_future"

    def __init__(self, *, minutes: int) -> None:
        super().__init__(fields={"sent_at": f'"sent_at" must be at most {minutes} minutes from now'}, minutes=minutes)


class NumberOfAnInbox(DomainError):
    """This is the number of an inbox, and no customer's"""

    code = "number_of_an_inbox"


class LabelOfAnotherInbox(DomainError):
    """Label belongs to another inbox than the conversation"""

    code = "label_of_another_inbox"


def wrong_state(act: str, state: str) -> DomainError:
    """The refusal of an act that has no move from this state."""
    if state == State.RESOLVED:
        return AlreadyResolved()
    return NotQueued(state=state) if State.QUEUED in states.left_by(act) else NotAllocated(state=state)

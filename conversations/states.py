"""The state machine of a conversation, as data. Constraints, guards, tests and the README's diagram read it from here."""

from typing import NamedTuple

from django.db import models


class State(models.TextChoices):
    """Where a conversation stands."""

    QUEUED = "QUEUED"  # waits for an operator; nobody holds it
    ALLOCATED = "ALLOCATED"  # one operator holds it, through one open assignment
    RESOLVED = "RESOLVED"  # done; a new inbound message reopens it


class Transition(NamedTuple):
    """One legal move: which act leaves which state for which, the event that tells of it, and who may do it."""

    act: str
    leaves: State
    enters: State
    event: str
    by: str
    meaning: str


TRANSITIONS = (
    Transition(
        "allocate", State.QUEUED, State.ALLOCATED, "allocated", "operator, manager", "the best waiting one for an available operator"
    ),
    Transition("claim", State.QUEUED, State.ALLOCATED, "claimed", "operator, manager", "an available operator takes one of their choice"),
    Transition("assign", State.QUEUED, State.ALLOCATED, "assigned", "manager", "a manager gives it to an available operator"),
    Transition("resolve", State.ALLOCATED, State.RESOLVED, "resolved", "holder, manager", "the holder is done"),
    Transition("resolve", State.QUEUED, State.RESOLVED, "resolved", "manager", "nobody needs to answer any more"),
    Transition("reassign", State.ALLOCATED, State.ALLOCATED, "reassigned", "manager", "another operator takes over"),
    Transition("deallocate", State.ALLOCATED, State.QUEUED, "deallocated", "manager", "back to the queue with its full waiting credit"),
    Transition(
        "release", State.ALLOCATED, State.QUEUED, "released", "holder", "its holder gives it back, and is not handed it again at once"
    ),
    Transition("expire", State.ALLOCATED, State.QUEUED, "requeued", "the clock", "its operator stayed offline for the whole grace period"),
    Transition("move", State.ALLOCATED, State.QUEUED, "moved", "manager", "another inbox answers: whoever held it gives it up"),
    Transition("move", State.QUEUED, State.QUEUED, "moved", "manager", "another inbox answers"),
    Transition("reopen", State.RESOLVED, State.QUEUED, "reopened", "customer", "a new inbound message, however late it comes"),
)


def find(act: str, leaving: str) -> Transition | None:
    """The move that an act makes from a state; None where there is no such move."""
    return next((move for move in TRANSITIONS if (move.act, move.leaves) == (act, leaving)), None)


def left_by(act: str) -> list[State]:
    """The states that an act can leave."""
    return [move.leaves for move in TRANSITIONS if move.act == act]

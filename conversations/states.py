"""The state machine of a conversation, as data. Constraints, guards, tests and the README's diagram read it from here."""

from typing import NamedTuple

from django.db import models


class State(models.TextChoices):
    """Where a conversation stands."""

    QUEUED = "QUEUED"  # waits for an operator; nobody holds it
    ALLOCATED = "ALLOCATED"  # one operator holds it, through one open assignment
    RESOLVED = "RESOLVED"  # done; a new inbound message would reopen it


class Transition(NamedTuple):
    """One legal move: which act leaves which state for which, and who may do it."""

    act: str
    leaves: State
    enters: State
    by: str
    meaning: str


TRANSITIONS = (
    Transition(
        "allocate", State.QUEUED, State.ALLOCATED, "operator, manager", "the best waiting conversation goes to an available operator"
    ),
    Transition("claim", State.QUEUED, State.ALLOCATED, "operator, manager", "an available operator takes one they picked themselves"),
    Transition("assign", State.QUEUED, State.ALLOCATED, "manager", "a manager gives it to an available operator"),
    Transition("resolve", State.ALLOCATED, State.RESOLVED, "holder, manager", "the holder is done"),
    Transition("resolve_waiting", State.QUEUED, State.RESOLVED, "manager", "nobody needs to answer any more"),
    Transition("reassign", State.ALLOCATED, State.ALLOCATED, "manager", "another operator takes over"),
    Transition("deallocate", State.ALLOCATED, State.QUEUED, "manager", "back to the queue with its full waiting credit"),
    Transition("grace_expired", State.ALLOCATED, State.QUEUED, "the clock", "its operator stayed offline for the whole grace period"),
    Transition("move", State.ALLOCATED, State.QUEUED, "manager", "another inbox answers: whoever held it gives it up"),
    Transition("move_waiting", State.QUEUED, State.QUEUED, "manager", "another inbox answers"),
)

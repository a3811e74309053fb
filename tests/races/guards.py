"""The guards that the controls take away from the product: its row locks, or the order in which it takes them."""

import re
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from convalloc import prepared
from conversations import allocation, queue
from conversations.models import Conversation

LOCKING = re.compile(r"\bFOR NO KEY UPDATE\b(?: OF [\w\".]+)?(?: SKIP LOCKED)?")

claim = allocation.claim


def unlocked(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
    """A wrapper for the statements of a connection: none locks a row but to write it."""
    return execute(LOCKING.sub("", sql), parameters, many, context)


def spell_out(connection: BaseDatabaseWrapper) -> None:
    """Let every statement of this session travel as text, as behind a pooler: a name tells a wrapper nothing."""
    prepared._names[connection.connection] = None


def unlock(connection: BaseDatabaseWrapper, **signal: Any) -> None:
    """A receiver of Django's signal connection_created."""
    spell_out(connection)
    if unlocked not in connection.execute_wrappers:
        connection.execute_wrappers.append(unlocked)


def claim_backwards(operator_id: int, conversation_id: int) -> Conversation:
    """A claim that locks the conversation before the operator."""
    queue.lock(conversation_id)
    return claim(operator_id, conversation_id)

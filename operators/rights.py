"""What each role may do in the console, as data: the counterpart of the API's matrix in operators.api.permissions.

A model without a row is closed to everybody. `direct` moves work: resolve, deallocate, reassign, move. For operators,
`change` means their accounts; which inboxes they answer at and how much they may hold is the subscriptions' affair,
and whether they are there, the statuses'. PLATFORM is the platform's own staff, whose tenant has neither inboxes nor conversations.
"""

from typing import NamedTuple


class Rights(NamedTuple):
    """The acts that are open to each column."""

    MANAGER: str
    ADMIN: str
    PLATFORM: str


CONSOLE = {
    "tenants.tenant": Rights(MANAGER="view", ADMIN="view change", PLATFORM="view"),
    "tenants.inbox": Rights(MANAGER="view", ADMIN="view add change", PLATFORM="view"),
    "tenants.event": Rights(MANAGER="view", ADMIN="view", PLATFORM="view"),
    "operators.operator": Rights(MANAGER="view", ADMIN="view add change", PLATFORM="view add change"),
    "operators.operatorstatus": Rights(MANAGER="view change", ADMIN="view change", PLATFORM="view"),
    "operators.presenceperiod": Rights(MANAGER="view", ADMIN="view", PLATFORM="view"),
    "operators.subscription": Rights(MANAGER="view change", ADMIN="view change", PLATFORM="view"),
    "labels.label": Rights(MANAGER="view add change delete", ADMIN="view add change delete", PLATFORM="view"),
    "conversations.conversation": Rights(MANAGER="view direct", ADMIN="view direct", PLATFORM="view"),
    "conversations.assignment": Rights(MANAGER="view", ADMIN="view", PLATFORM="view"),
    "conversations.graceperiod": Rights(MANAGER="view", ADMIN="view", PLATFORM="view"),
    "conversations.conversationlabel": Rights(MANAGER="view", ADMIN="view", PLATFORM="view"),
}


def may(column: str, permission: str) -> bool:
    """Whether a column has a right, spelled as Django spells it: `app.act_model`."""
    app, _, spelled = permission.partition(".")
    act, _, model = spelled.partition("_")
    rights = CONSOLE.get(f"{app}.{model}")
    return rights is not None and act in getattr(rights, column, "").split()


def sees_app(column: str, app: str) -> bool:
    """Whether anything of an app is open to a column."""
    return any(name.startswith(f"{app}.") and getattr(rights, column, "") for name, rights in CONSOLE.items())

"""Every kind of event: what it says, of what, by which operation, what it carries. Documents, schemas and filters are made of this."""

from collections.abc import Mapping

from tenants.kinds.kind import Kind as Kind
from tenants.kinds.of_the_house import OF_ACCESS, OF_PEOPLE, OF_THE_TENANT
from tenants.kinds.of_webhooks import OF_WEBHOOKS
from tenants.kinds.of_work import OF_CONVERSATIONS, OF_GRACE

GROUPS = {
    "Conversations": OF_CONVERSATIONS,
    "Grace periods": OF_GRACE,
    "People": OF_PEOPLE,
    "The organisation": OF_THE_TENANT,
    "Access": OF_ACCESS,
    "Webhooks": OF_WEBHOOKS,
}
KINDS: Mapping[str, Kind] = {kind.name: kind for kinds in GROUPS.values() for kind in kinds}
FOR_ADMINS = frozenset(kind.name for kind in KINDS.values() if kind.for_admins)

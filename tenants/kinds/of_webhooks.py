"""What is told of webhooks themselves: for administrators."""

from tenants.kinds.kind import Kind

HOOK = {
    "url": "https://crm.example.com/events",
    "description": "CRM",
    "kinds": ["conversation.claimed"],
    "payload": "thin",
    "enabled": True,
    "stopped_because": "",
}
OF_WEBHOOKS = (
    Kind("webhook.created", "Events are sent somewhere from now on.", "webhook", after=HOOK, by=("webhook-create",), for_admins=True),
    Kind(
        "webhook.changed",
        "A webhook leads elsewhere, gets other kinds or another payload, was stopped or begins again.",
        "webhook",
        HOOK,
        {**HOOK, "kinds": ["conversation.claimed", "conversation.resolved"]},
        sometimes=frozenset(HOOK),
        by=("webhook-partial-update",),
        for_admins=True,
    ),
    Kind(
        "webhook.stopped",
        "A webhook is not served any more: it answered 410, or nothing got through for days.",
        "webhook",
        {"enabled": True, "stopped_because": ""},
        {"enabled": False, "stopped_because": "gone"},
        else_by="what its receiver answers",
        for_admins=True,
    ),
    Kind("webhook.deleted", "Nothing is sent there any more.", "webhook", HOOK, by=("webhook-destroy",), for_admins=True),
    Kind(
        "webhook.secret_replaced",
        "A webhook is signed with another secret; with the former one too, for a while.",
        "webhook",
        by=("webhook-secret",),
        for_admins=True,
    ),
    Kind(
        "webhook.tested",
        "Somebody tries a webhook out: this event is sent there, and nowhere else.",
        "webhook",
        by=("webhook-test",),
        for_admins=True,
    ),
    Kind(
        "webhook.replayed",
        "What a webhook is told begins again from an earlier position of the log, or goes on from its end.",
        "webhook",
        {"position": "9000-310"},
        {"position": "7345-123"},
        by=("webhook-replay",),
        for_admins=True,
    ),
)

"""Every operation of the API as a call: which ids it takes where. The tests that walk all routes read it."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from convalloc import clock
from operators import api_keys, signing_secrets
from operators.models import ApiKey, Operator, RefreshToken, Session, SigningSecret
from tenants import isolation, webhooks
from tests.conftest import Cast
from tests.contract.witness import held, kept, resolved, subscribe


@dataclass(frozen=True)
class Route:
    """One operation. `body` and `query` map a name to the kind of id it takes, `inboxes.0.inbox_id` deep inside `extra`.

    `extra` is what else it needs.
    """

    operation: str
    method: str
    path: str  # {conversation}, {api key} and so on, by KINDS, stand for ids
    body: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.operation


KINDS = ("conversation", "operator", "inbox", "label", "grace period", "api key", "signing secret", "session", "webhook", "delivery")
CONVERSATION, OPERATOR, INBOX, LABEL, GRACE, API_KEY, SIGNING_SECRET, SESSION, WEBHOOK, DELIVERY = KINDS
WHO_AND_WHAT = {"operator_id": OPERATOR, "conversation_id": CONVERSATION}
ROUTES = [
    Route("conversation-list", "GET", "/conversations", query={"inbox_id": INBOX, "operator_id": OPERATOR, "label_id": LABEL}),
    Route("conversation-retrieve", "GET", "/conversations/{conversation}"),
    Route("conversation-priority", "GET", "/conversations/{conversation}/priority"),
    Route("conversation-timeline", "GET", "/conversations/{conversation}/timeline"),
    Route("conversation-search", "GET", "/conversations/search", extra={"phone_number": "%2B19870000000"}),
    Route("conversation-search", "POST", "/conversations/search", extra={"phone_number": "+19870000000"}),
    Route("conversation-allocate", "POST", "/conversations/allocate", body={"operator_id": OPERATOR}),
    Route("conversation-claim", "POST", "/conversations/claim", body=WHO_AND_WHAT),
    Route("conversation-manager-allocate", "POST", "/conversations/manager-allocate", body=WHO_AND_WHAT),
    Route("conversation-resolve", "POST", "/conversations/resolve", body={"conversation_id": CONVERSATION}),
    Route("conversation-deallocate", "POST", "/conversations/deallocate", body={"conversation_id": CONVERSATION}),
    Route("conversation-release", "POST", "/conversations/release", body={"conversation_id": CONVERSATION}, extra={"reason": "lunch"}),
    Route("conversation-reassign", "POST", "/conversations/reassign", body=WHO_AND_WHAT),
    Route("conversation-move-inbox", "POST", "/conversations/move-inbox", body={"conversation_id": CONVERSATION, "inbox_id": INBOX}),
    Route("recalculation-update-priorities", "POST", "/conversations/update-priorities"),
    Route("contact-erase", "POST", "/contacts/erase", extra={"phone_number": "+19870000000"}),
    Route(
        "ingest-messages",
        "POST",
        "/ingest/messages",
        body={"inbox": INBOX},
        extra={
            "message_id": "SM1",
            "external_conversation_id": "whatsapp-1",
            "customer_phone_number": "+19870000001",
            "direction": "inbound",
            "sent_at": "2025-01-05T12:00:00Z",
        },
    ),
    Route("me-retrieve", "GET", "/me"),
    Route("session-running", "GET", "/operators/{operator}/sessions"),
    Route("session-end", "DELETE", "/operators/{operator}/sessions/{session}"),
    Route("session-end-all", "DELETE", "/operators/{operator}/sessions"),
    Route("api-key-list", "GET", "/api-keys"),
    Route("api-key-create", "POST", "/api-keys", body={"operator_id": OPERATOR}, extra={"name": "CRM", "scopes": ["labels:read"]}),
    Route("api-key-destroy", "DELETE", "/api-keys/{api key}"),
    Route("signing-secret-list", "GET", "/signing-secrets"),
    Route("signing-secret-create", "POST", "/signing-secrets", body={"api_key_id": API_KEY}),
    Route("signing-secret-destroy", "DELETE", "/signing-secrets/{signing secret}"),
    Route("signature-check", "POST", "/signatures/check"),
    Route("webhook-list", "GET", "/webhooks"),
    Route("webhook-create", "POST", "/webhooks", extra={"url": "https://1.1.1.1/hook"}),
    Route("webhook-retrieve", "GET", "/webhooks/{webhook}"),
    Route("webhook-partial-update", "PATCH", "/webhooks/{webhook}", extra={"description": "another use"}),
    Route("webhook-destroy", "DELETE", "/webhooks/{webhook}"),
    Route("webhook-secret", "POST", "/webhooks/{webhook}/secret"),
    Route("webhook-test", "POST", "/webhooks/{webhook}/test"),
    Route("webhook-deliveries", "GET", "/webhooks/{webhook}/deliveries"),
    Route("webhook-retry", "POST", "/webhooks/{webhook}/deliveries/{delivery}/retry"),
    Route("webhook-replay", "POST", "/webhooks/{webhook}/replay", extra={"after": "0-0"}),
    Route("tenant-retrieve", "GET", "/tenant"),
    Route("tenant-change", "PATCH", "/tenant", extra={"name": "another name"}),
    Route("operator-list", "GET", "/operators"),
    Route("operator-status", "GET", "/operators/{operator}/status"),
    Route("operator-change-status", "PUT", "/operators/{operator}/status", extra={"status": "AWAY"}),
    Route("operator-stats", "GET", "/operators/{operator}/stats"),
    Route("operator-inboxes", "GET", "/operators/{operator}/inboxes"),
    Route("grace-period-list", "GET", "/grace-periods", query={"operator_id": OPERATOR, "inbox_id": INBOX}),
    Route("grace-period-extend", "POST", "/grace-periods/{grace period}/extend", extra={"minutes": 5}),
    Route("grace-period-expire-now", "POST", "/grace-periods/{grace period}/expire-now"),
    Route("operator-capacity", "GET", "/operators/{operator}/capacity"),
    Route(
        "operator-change-capacity",
        "PATCH",
        "/operators/{operator}/capacity",
        body={"inboxes.0.inbox_id": INBOX},
        extra={"own_limit": 3, "inboxes": [{"limit": 2}]},
    ),
    Route("presence-timesheet", "GET", "/operators/{operator}/presence"),
    Route("presence-heartbeat", "POST", "/operators/{operator}/heartbeat"),
    Route("inbox-list", "GET", "/inboxes"),
    Route("label-list", "GET", "/labels", query={"inbox_id": INBOX}),
    Route(
        "label-create",
        "POST",
        "/labels",
        body={"inbox_id": INBOX, "created_by": OPERATOR},
        extra={"name": "a new word", "color": "#123456"},
    ),
    Route("label-update", "PUT", "/labels/{label}", extra={"name": "another word"}),
    Route("label-destroy", "DELETE", "/labels/{label}"),
    Route("label-attach", "POST", "/labels/attach", body={"conversation_id": CONVERSATION, "label_id": LABEL}),
    Route("label-detach", "POST", "/labels/detach", body={"conversation_id": CONVERSATION, "label_id": LABEL}),
    Route("event-list", "GET", "/events", query={"conversation_id": CONVERSATION}),
]
MAKES_A_ROW = {"ingest-messages", "label-create", "api-key-create", "signing-secret-create", "webhook-create"}
OPEN_TO_POST = {"auth-token": "/auth/token", "auth-refresh": "/auth/refresh", "auth-logout": "/auth/logout"}
OPEN = {"health": "/health", "health-live": "/health/live", "health-ready": "/health/ready", "schema": "/schema", "docs": "/docs"}


def call(route: Route, ids: dict[str, int]) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of a call with these ids, by kind; a query is only asked for what `ids` names by `kind?`."""
    path = route.path.format(**ids)
    asked = {name: ids[f"{kind}?"] for name, kind in route.query.items() if f"{kind}?" in ids}
    if route.method == "GET":
        words = "&".join(f"{name}={value}" for name, value in {**asked, **route.extra}.items())
        return route.method, f"{path}?{words}" if words else path, None
    body = dict(route.extra)
    for name, kind in route.body.items():
        body = placed(body, name, ids[kind])
    return route.method, path, body


def placed(body: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """A copy of a body with another value at a place in it, such as `inboxes.0.inbox_id`."""
    changed = deepcopy(body)
    *above, last = name.split(".")
    at: Any = changed
    for part in above:
        at = at[int(part) if isinstance(at, list) else part]
    at[last] = value
    return changed


def operations() -> Iterator[tuple[str, str, str]]:
    """(operation, method, pattern) of every route under /api/v1 in the URLconf; a view without actions goes by its name."""
    for pattern, prefix in _leaves(get_resolver().url_patterns, ""):
        if not prefix.startswith("api/v1/"):
            continue
        actions = getattr(pattern.callback, "actions", None)
        if actions is None:
            yield str(pattern.name), "POST" if pattern.name in OPEN_TO_POST else "GET", prefix
            continue
        basename = pattern.callback.initkwargs["basename"]  # type: ignore[attr-defined]
        for method, action in actions.items():
            if method != "head":
                yield f"{basename}-{action}".replace("_", "-"), method.upper(), prefix


def _leaves(patterns: list[Any], prefix: str) -> Iterator[tuple[URLPattern, str]]:
    for pattern in patterns:
        here = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            yield from _leaves(pattern.url_patterns, here)
        else:
            yield pattern, here


def stage(cast: Cast, operation: str, owner: Operator) -> dict[str, int]:
    """Make an operation possible, on things that belong to `owner` where things belong to somebody; the ids by kind."""
    subscribe(cast, owner, cast.support)
    label = cast.label(created_by=owner)
    ids = {OPERATOR: owner.pk, INBOX: cast.support.pk, LABEL: label.pk}
    match operation:
        case "conversation-resolve" | "conversation-deallocate" | "conversation-release" | "conversation-move-inbox":
            return ids | {CONVERSATION: held(cast, owner).pk}
        case "conversation-reassign":
            return ids | {CONVERSATION: held(cast, owner).pk, OPERATOR: cast.operator().pk}
        case "conversation-search":
            cast.conversation(customer_phone_number="+19870000000")
        case "grace-period-extend" | "grace-period-expire-now":
            ids[GRACE] = kept(cast, cast.operator()).pk
        case "session-end" | "session-end-all":
            ids[SESSION] = session(cast, owner).pk
        case "api-key-destroy" | "signing-secret-create":
            ids[API_KEY] = api_key(cast).pk
        case "signing-secret-destroy":
            ids[SIGNING_SECRET] = signing_secret(cast).pk
        case _ if operation.startswith("webhook-"):
            ids[WEBHOOK], ids[DELIVERY] = webhook(cast)
        case "anything":
            secret = signing_secret(cast)
            ids[WEBHOOK], ids[DELIVERY] = webhook(cast)
            ids |= {API_KEY: secret.api_key_id, SIGNING_SECRET: secret.pk}
            ids |= {GRACE: kept(cast, cast.operator()).pk, SESSION: session(cast, owner).pk}
    return ids | {CONVERSATION: cast.conversation().pk}


def session(cast: Cast, operator: Operator) -> Session:
    """Somewhere else an operator is signed in."""
    with isolation.act_as(cast.tenant.pk):
        row: Session = Session.objects.create(operator=operator, expires_at=clock.now() + timedelta(days=1))
        RefreshToken.objects.create(session=row, digest="-", expires_at=row.expires_at)
    return row


def api_key(cast: Cast) -> ApiKey:
    """A key of the tenant's, that only reads labels."""
    with isolation.act_as(cast.tenant.pk):
        key, _ = api_keys.make("CRM", acts_as=cast.mia.pk, scopes=["labels:read"], days=1, by=cast.ada)
    return key


def signing_secret(cast: Cast) -> SigningSecret:
    """A secret of such a key."""
    key = api_key(cast)
    with isolation.act_as(cast.tenant.pk):
        secret, _ = signing_secrets.make(key.pk, by=cast.ada)
    return secret


def webhook(cast: Cast) -> tuple[int, int]:
    """A webhook that is being tried out: its id, and the delivery's."""
    with isolation.act_as(cast.tenant.pk):
        made, _ = webhooks.make("https://1.1.1.1/hook")
        return made.pk, webhooks.try_out(made.pk).pk


def stage_anything(cast: Cast) -> dict[str, int]:
    """Ids of one thing of each kind, in a tenant that has some of everything, in every state."""
    resolved(cast, cast.olga)
    held(cast, cast.olga)
    return stage(cast, "anything", cast.olga)

"""The OpenAPI document as a whole: what no single operation can say. drf-spectacular calls these hooks."""

import json
from collections import Counter
from typing import Any

SERVERS = [{"url": "/", "description": "Where this document came from."}]
RESOURCES = {
    "api-keys": "What programs show: scoped, expiring, made by administrators.",
    "auth": "Signing in, staying signed in, signing out.",
    "contacts": "Customers, as far as there is something to forget.",
    "conversations": "The queue, and every act of a conversation's life.",
    "events": "The log: what happened, in an order that skips nothing.",
    "grace-periods": "Work that offline operators keep for a while.",
    "health": "For load balancers and for whoever restarts processes.",
    "inboxes": "Phone numbers that customers write to, and what waits there.",
    "ingest": "The way in: messages, as a messaging system delivers them.",
    "labels": "Words on conversations, for each inbox.",
    "me": "Who is asking.",
    "operators": "Presence, capacity, statistics and sessions of people.",
    "signatures": "For integrators who try out their signing.",
    "signing-secrets": "What programs sign with.",
    "tenant": "The organisation's own settings.",
    "webhooks": "Where events are sent, signed, until somebody has them.",
}

# What the operations' own parts do not say: the middleware and the doors say it with every answer.
HEADERS = {
    "X-Request-Id": {
        "description": "The id of the request: the `X-Request-Id` that it bore (1 to 64 letters, digits and ._-), else one of ours. "
        "It stands on every line of the log and, as `request_id`, in every event.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}},
    "RateLimit": {
        "description": "How the caller stands with each limit: how many more may come at once (r), and after how many seconds all may (t).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The limits that count for the caller: so many (q) in so many seconds (w).",
        "schema": {"type": "string"},
    },
}
EVERY_REQUEST = (
    "Every request may bear `X-Request-Id`, which comes back and stands in the log and in every event, and `traceparent` "
    "(W3C Trace Context), whose trace our log names. What to do after which answer is told in docs/integrating.md."
)
Endpoint = tuple[str, str, str, Any]


def without_final_slash(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Preprocessing hook: both spellings of a path are routes; the one without the slash is documented."""
    return [(path.rstrip("/"), regex, method, view) for path, regex, method, view in endpoints]


def completed(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: where the API is, what its resources are, which doors are open, and every shared example once."""
    operations = [told for methods in result["paths"].values() for told in methods.values()]
    for told in operations:
        told.setdefault("security", [])  # said, instead of left out: anyone may
        for status, answer in told["responses"].items():
            answer["headers"] = answer.get("headers", {}) | {name: {"$ref": f"#/components/headers/{name}"} for name in _said(told, status)}
    result["components"]["headers"] = HEADERS
    result["info"]["description"] += f" {EVERY_REQUEST}"
    tags = [{"name": name, "description": meaning} for name, meaning in RESOURCES.items()]
    result["components"]["examples"] = _examples_once(operations)
    return {"openapi": result["openapi"], "info": result["info"], "servers": SERVERS, "tags": tags} | result


def _said(told: dict[str, Any], status: str) -> list[str]:
    """The headers of an answer of this status that are not the operation's own."""
    counted = ["RateLimit", "RateLimit-Policy"] if told["security"] and status not in ("401", "503") else []
    return ["X-Request-Id", *(["Retry-After"] if status in ("429", "503") else []), *counted]


def _examples_once(operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The examples of refusals that several operations have, which refer to them now."""
    answers = [answer for told in operations for status, answer in told["responses"].items() if status >= "400"]
    shown = [content.get("examples", {}) for answer in answers for content in answer["content"].values()]
    seen = Counter((name, json.dumps(examples[name])) for examples in shown for name in examples)
    shared: dict[str, Any] = {}
    for examples in shown:
        for name, example in examples.items():
            if seen[name, json.dumps(example)] > 1 and shared.setdefault(name, example) == example:
                examples[name] = {"$ref": f"#/components/examples/{name}"}
    return dict(sorted(shared.items()))

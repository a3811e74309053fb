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

Endpoint = tuple[str, str, str, Any]


def without_final_slash(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Preprocessing hook: both spellings of a path are routes; the one without the slash is documented."""
    return [(path.rstrip("/"), regex, method, view) for path, regex, method, view in endpoints]


def completed(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: where the API is, what its resources are, which doors are open, and every shared example once."""
    operations = [told for methods in result["paths"].values() for told in methods.values()]
    for told in operations:
        told.setdefault("security", [])  # said, instead of left out: anyone may
    tags = [{"name": name, "description": meaning} for name, meaning in RESOURCES.items()]
    result["components"]["examples"] = _examples_once(operations)
    return {"openapi": result["openapi"], "info": result["info"], "servers": SERVERS, "tags": tags} | result


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

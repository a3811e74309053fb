"""A call that works for each operation of webhooks: method, template, and what to prepare. For test_promises."""

from collections.abc import Callable
from typing import Any

from tests.conftest import Cast
from tests.contract.routes import webhook

OF_WEBHOOKS: list[tuple[str, str, Callable[[Cast], tuple[Any, str, dict[str, Any] | None]]]] = [
    ("GET", "/webhooks", lambda cast: (webhook(cast) and cast.mia, "/webhooks", None)),
    ("POST", "/webhooks", lambda cast: (cast.ada, "/webhooks", {"url": "https://1.1.1.1/hook", "kinds": ["label.created"]})),
    ("GET", "/webhooks/{id}", lambda cast: (cast.mia, f"/webhooks/{webhook(cast)[0]}", None)),
    ("PATCH", "/webhooks/{id}", lambda cast: (cast.ada, f"/webhooks/{webhook(cast)[0]}", {"enabled": False})),
    ("DELETE", "/webhooks/{id}", lambda cast: (cast.ada, f"/webhooks/{webhook(cast)[0]}", None)),
    ("POST", "/webhooks/{id}/secret", lambda cast: (cast.ada, f"/webhooks/{webhook(cast)[0]}/secret", None)),
    ("POST", "/webhooks/{id}/test", lambda cast: (cast.ada, f"/webhooks/{webhook(cast)[0]}/test", None)),
    ("GET", "/webhooks/{id}/deliveries", lambda cast: (cast.mia, f"/webhooks/{webhook(cast)[0]}/deliveries", None)),
    (
        "POST",
        "/webhooks/{id}/deliveries/{delivery_id}/retry",
        lambda cast: (cast.ada, "/webhooks/{}/deliveries/{}/retry".format(*webhook(cast)), None),
    ),
    ("POST", "/webhooks/{id}/replay", lambda cast: (cast.ada, f"/webhooks/{webhook(cast)[0]}/replay", {"after": "latest"})),
]

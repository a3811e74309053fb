"""What a webhook's receiver gets: the three headers of Standard Webhooks. The signature covers id, time and body.

While a secret is being replaced, a message bears a signature by each of the two.
Source: Standard Webhooks, specification 1.0.0.
"""

import base64
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32


def fresh() -> bytes:
    """A new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def spelled(secret: bytes) -> str:
    """A secret as libraries of Standard Webhooks take it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(message_id: str, at: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """The headers of a message; `at` is the time of sending, in seconds since 1970."""
    content = f"{message_id}.{at}.".encode() + body
    made = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in made),
    }

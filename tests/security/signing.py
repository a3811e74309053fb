"""A program that signs its requests, with the reference library in Python."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from standardwebhooks import Webhook

from convalloc import clock
from operators.api.permissions import SCOPES
from operators.models import Operator
from tests.conftest import Answer, Api, Cast

_numbers = count(1)


def fresh_id() -> str:
    """An id that no message has had."""
    return f"msg_{next(_numbers)}"


def whole(instant: datetime) -> datetime:
    """To the second, as a signature has it."""
    return instant.replace(microsecond=0)


@dataclass
class Program:
    """It knows the name of its API key, and a signing secret of it."""

    key_id: int
    secret_id: int
    sign_as: str
    secret: str

    def headers(
        self, body: bytes, *, message_id: str | None = None, late: timedelta = timedelta(), secret: str | None = None
    ) -> dict[str, str]:
        """The headers of a message that is signed `late`, or now."""
        message_id, at = message_id or fresh_id(), whole(clock.now() - late).astimezone(UTC)
        return {
            "X-Api-Key-Id": self.sign_as,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(message_id, at, body.decode()),
        }


def program(cast: Cast, acts_as: Operator | None = None, scopes: list[str] = SCOPES) -> Program:
    """A new key with a secret; it acts as Olga unless told otherwise."""
    key = Api(cast.ada).post("/api-keys", name="ingest", operator_id=(acts_as or cast.olga).pk, scopes=scopes).data["id"]
    return another_secret(cast, key)


def another_secret(cast: Cast, key_id: int) -> Program:
    """The program with one more secret of its key."""
    made = Api(cast.ada).post("/signing-secrets", api_key_id=key_id).data
    return Program(key_id, made["id"], made["sign_as"], made["secret"])


def send(path: str, body: bytes, headers: dict[str, str]) -> Answer:
    """POST these very bytes, with these headers and no others that say who calls."""
    return Api(None).call("POST", path, body, **headers)


def check(headers: dict[str, str], body: bytes = b"{}") -> Answer:
    """Ask whose signature this is."""
    return send("/signatures/check", body, headers)

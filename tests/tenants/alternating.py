"""A thousand requests of many tenants, one after another on one session, some of them killed in the middle."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from tests.conftest import Answer, Api, Cast, assemble
from tests.tenants.specimens import furnish

TENANTS = 5
KILLED = 0.2  # of the requests
MOST_STATEMENTS = 12  # of a request: it dies at one of them
ASKED = ("/conversations", "/operators", "/inboxes", "/labels", "/tenant", "/me")


class Killed(SystemExit):
    """The process that answers is told to end."""


def is_told_to_end() -> None:
    raise Killed


def breaks() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def loses_its_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def is_gone_without_a_word() -> None:
    """As after SIGKILL: the socket closes, and nobody says ROLLBACK."""
    connection.connection.pgconn.finish()


DEATHS: tuple[Callable[[], None], ...] = (is_told_to_end, breaks, loses_its_session, is_gone_without_a_word)


class Dying:
    """A wrapper for the statements of a request: at one of them it dies."""

    def __init__(self, death: Callable[[], None], statement: int) -> None:
        self.death: Callable[[], None] | None = death
        self.left = statement

    def __call__(self, execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        self.left -= 1
        if self.left < 0 and self.death is not None:
            death, self.death = self.death, None
            death()
        return execute(sql, parameters, many, context)


def settle() -> list[Cast]:
    """The tenants, each with something in every table, and with its own name in what it calls its things."""
    casts = [assemble(name=f"house-{number}-") for number in range(TENANTS)]
    for number, cast in enumerate(casts):
        furnish(cast)
        cast.conversation(external_conversation_id=f"house-{number}-conversation")
        cast.label(name=f"house-{number}-label")
        cast.operator(name=f"house-{number}-operator")
    return casts


def alternate(casts: list[Cast], requests: int, look: Callable[[], Any], seed: int = 1) -> Counter[str]:
    """Ask, now for one tenant and now for another; how it ended, by kind. Fails as soon as anybody sees another's.

    `look` is what a statement sees between two requests, for which nobody said whose it is.
    """
    luck, ended = Random(seed), Counter[str]()
    clients = [Api(cast.mia) for cast in casts]
    for number in range(requests):
        whose = luck.randrange(TENANTS)
        death = Dying(luck.choice(DEATHS), luck.randrange(MOST_STATEMENTS)) if luck.random() < KILLED else None
        answer = ask(clients[whose], ASKED[number % len(ASKED)], death)
        ended[str(answer.status) if answer else "killed"] += 1
        if answer:
            strangers = [other for other in range(TENANTS) if other != whose and f"house-{other}-".encode() in answer.raw]
            assert strangers == [], f"request {number}: tenant {whose} sees {strangers}"
            assert answer.status in (200, 503, 500), answer.raw
        assert look() == 0, f"after request {number}, somebody sees rows of a tenant that nobody named"
    return ended


def ask(api: Api, path: str, death: Dying | None) -> Answer | None:
    """The answer; None where nobody was left to give it. Between two requests Django lets go of a session that is broken."""
    try:
        if death is None:
            return api.get(path)
        with connection.execute_wrapper(death):
            return api.get(path)
    except (Killed, DatabaseError, InterfaceError):
        return None
    finally:
        close_old_connections()


def rows_without_a_tenant() -> int:
    """What SQL sees on the session of the requests, when nobody has said whose it is."""
    return seen_by_django()[0]


SEEN = "SELECT (SELECT count(*) FROM conversations) + (SELECT count(*) FROM operators) + (SELECT count(*) FROM tenants), pg_backend_pid()"


def seen_by_django() -> tuple[int, int]:
    """The same, and the server's process that it was asked of."""
    with connection.cursor() as cursor:
        cursor.execute(SEEN)
        rows, session = cursor.fetchone()
    return rows, session

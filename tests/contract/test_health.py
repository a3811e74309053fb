"""GET /health, /health/live, /health/ready: for people, for load balancers, for whoever restarts things."""

import os
import re

import psycopg
import pytest
from django.db import connection

from tests.conftest import Answer, Api

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def verdict(answer: Answer) -> tuple[int, str, str]:
    """Status, and what it says, after a look at the shape."""
    assert set(answer.body) == {"status", "message", "timestamp"}
    assert INSTANT.fullmatch(answer.body["timestamp"])
    return answer.status, answer.body["status"], answer.body["message"]


@pytest.mark.parametrize(("path", "message"), [("/health", "convalloc is running"), ("/health/live", "alive"), ("/health/ready", "ready")])
def test_all_is_well(db: None, api: type[Api], path: str, message: str) -> None:
    answer = api(None).get(path)

    assert verdict(answer) == (200, "healthy", message)


def test_with_a_pending_migration_it_is_not_ready(committed: None, api: type[Api]) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        name = owner.execute("DELETE FROM django_migrations WHERE app = 'conversations' RETURNING name").fetchall()
        try:
            answer = api(None).get("/health/ready")
        finally:
            for row in name:
                owner.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('conversations', %s, now())", row)

    assert verdict(answer) == (503, "unhealthy", f"{len(name)} migrations are not applied")
    assert verdict(api(None).get("/health/ready")) == (200, "healthy", "ready")


def test_with_the_database_away_it_is_alive_but_not_ready(committed: None, api: type[Api], monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    answers = [api(None).get(path) for path in ("/health", "/health/live", "/health/ready")]

    assert [answer.status for answer in answers] == [200, 200, 503]
    assert verdict(answers[2]) == (503, "unhealthy", "the database does not answer")


def test_a_probe_asks_the_database_nothing_but_when_it_must(db: None, api: type[Api], django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        api(None).get("/health")
        api(None).get("/health/live")

"""What is over is forgotten. Sessions of clients: contract/test_sessions.py; signed messages: security/test_signatures.py."""

from datetime import timedelta

from django.contrib.sessions.models import Session

from convalloc import clock
from operators import sweeping


def test_sessions_of_the_console_are_forgotten_in_rounds_when_they_are_over(db: None) -> None:
    for number in range(5):
        Session.objects.create(session_key=f"over-{number}", session_data="", expire_date=clock.now() - timedelta(seconds=1))
    Session.objects.create(session_key="runs", session_data="", expire_date=clock.now() + timedelta(hours=1))

    counts = sweeping.sweep(limit=2)

    assert counts["console_sessions"] == 5
    assert [session.session_key for session in Session.objects.all()] == ["runs"]

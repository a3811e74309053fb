"""The time that decisions rest on: the database's, one for all workers. And how a time is spelled for others."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """The database's wall clock at this moment, in UTC; later than any lock that this transaction has waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (instant,) = cursor.fetchone()
    return instant  # type: ignore[no-any-return]


def instant(value: datetime) -> str:
    """RFC 3339 in UTC with microseconds and Z: the one spelling of time on the wire and in the event log."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant_sql(value: str) -> str:
    """`instant`, of an expression in SQL."""
    return f"""to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

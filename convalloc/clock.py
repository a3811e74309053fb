"""The time that decisions rest on: the database's, one for all workers."""

from datetime import datetime

from django.db import connection


def now() -> datetime:
    """The database's wall clock at this moment, in UTC; later than any lock that this transaction has waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (instant,) = cursor.fetchone()
    return instant  # type: ignore[no-any-return]

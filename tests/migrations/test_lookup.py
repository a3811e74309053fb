"""walls.Lookup on a table that outlives it: backwards, neither the function nor the policy stays behind."""

from typing import Any

import pytest
from django.db import connections
from django.db.migrations.state import ProjectState

from tenants import walls

LOOKUP = walls.Lookup(
    "inbox_of_phone(phone text)", returns="SETOF bigint", reads="inboxes", body="SELECT id FROM inboxes WHERE phone_number = phone"
)


def made() -> list[tuple[Any, ...]]:
    """What of the lookup is in the database."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE proname = 'inbox_of_phone'"
            " UNION ALL SELECT policyname FROM pg_policies WHERE tablename = 'inboxes' AND starts_with(policyname, 'inbox_of_phone')"
        )
        return list(cursor.fetchall())


@pytest.mark.django_db(databases=["default", "owner"])
def test_a_lookup_goes_as_it_came() -> None:
    state = ProjectState()

    with connections["owner"].schema_editor() as editor:
        LOOKUP.database_forwards("tenants", editor, state, state)
    assert made() == [("inbox_of_phone",), ("inbox_of_phone_looks_up",)]

    with connections["owner"].schema_editor() as editor:
        LOOKUP.database_backwards("tenants", editor, state, state)
    assert made() == []

"""A thousand requests of alternating tenants on one pooled session, every fifth of them killed: nobody ever sees another's."""

import pytest
from django.db import connection

from tenants import isolation
from tests.tenants.alternating import alternate, rows_without_a_tenant, settle


def for_the_whole_session(tenant_id: int | None) -> None:
    """What isolation tells PostgreSQL, without LOCAL."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET app.{'tenant_id'} = %s", ["" if tenant_id is None else str(tenant_id)])


def test_of_a_thousand_alternating_requests_none_sees_another_tenant(committed: None) -> None:
    ended = alternate(settle(), 1000, rows_without_a_tenant)

    assert ended["200"] > 700
    assert ended["killed"] + ended["500"] + ended["503"] > 50


def test_with_a_setting_of_the_session_they_would(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    casts = settle()
    monkeypatch.setattr(isolation, "_tell_postgres", for_the_whole_session)

    with pytest.raises(AssertionError, match="of a tenant that nobody named"):
        alternate(casts, 1000, rows_without_a_tenant)

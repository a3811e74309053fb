"""Django's log of the console: one tenant's managers never read what another's did."""

import os

import psycopg
import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import ProgrammingError, transaction

from tenants import isolation
from tenants.models import Inbox
from tests.conftest import Cast, assemble


def note(cast: Cast, text: str) -> None:
    """Mia, manager of this tenant, has done something in the console."""
    LogEntry.objects.create(
        user_id=cast.mia.pk,
        content_type=ContentType.objects.get_for_model(Inbox),
        object_id=str(cast.support.pk),
        object_repr=text,
        action_flag=CHANGE,
    )


def test_a_manager_reads_their_own_tenants_log(cast: Cast, neighbours: Cast) -> None:
    for tenant, text in ((cast, "ours"), (neighbours, "theirs")):
        with isolation.act_as(tenant.tenant.pk):
            note(tenant, text)

    with isolation.act_as(cast.tenant.pk):
        assert [entry.object_repr for entry in LogEntry.objects.all()] == ["ours"]
    assert list(LogEntry.objects.all()) == []


def test_nothing_is_logged_in_anothers_name(cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(cast.tenant.pk), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        note(neighbours, "forged")


@pytest.mark.usefixtures("committed")
def test_without_the_policy_the_log_would_be_open() -> None:
    """The control: the same rows, with row level security off for a moment."""
    house, next_door = assemble(), assemble()
    with isolation.act_as(next_door.tenant.pk):
        note(next_door, "theirs")

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ALTER TABLE django_admin_log DISABLE ROW LEVEL SECURITY")
        try:
            with isolation.act_as(house.tenant.pk):
                seen = [entry.object_repr for entry in LogEntry.objects.all()]
        finally:
            owner.execute("ALTER TABLE django_admin_log ENABLE ROW LEVEL SECURITY")

    assert seen == ["theirs"]

"""Browsing the console as somebody of the cast."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from operators.models import Operator
from tenants import isolation
from tenants.models import Event
from tests.conftest import Cast

PASSWORD = "a passable phrase"


@pytest.fixture(autouse=True)
def _fast_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def give_password(operator: Operator, password: str = PASSWORD) -> Operator:
    """So that the account can sign in."""
    with isolation.act_as(operator.tenant_id):
        operator.set_password(password)
        operator.save(update_fields=["password"])
    return operator


def sign_in(client: Client, operator: Operator, password: str = PASSWORD) -> Any:
    """Through the form, as people do."""
    return client.post("/admin/login/?next=/admin/", {"username": operator.email, "password": password})


@pytest.fixture
def browse(db: None) -> Callable[[Operator], Client]:
    """A browser in which an operator is signed in: browse(cast.mia).get("/admin/")."""

    def start(operator: Operator) -> Client:
        client = Client()
        response = sign_in(client, give_password(operator))
        assert response.status_code == 302, response.content.decode()
        return client

    return start


def said(response: Any) -> str:
    """The messages that a page shows."""
    return " | ".join(str(message) for message in response.context["messages"])


def ids(response: Any) -> set[int]:
    """The ids of the rows that a list shows."""
    return {row.pk for row in response.context["cl"].result_list}


@pytest.fixture
def told() -> Callable[[Cast, str], list[Event]]:
    """The events of a kind, oldest first: told(cast, "label.created")."""

    def look(cast: Cast, kind: str) -> list[Event]:
        with isolation.act_as(cast.tenant.pk):
            return list(Event.objects.filter(kind=kind).order_by("id"))

    return look

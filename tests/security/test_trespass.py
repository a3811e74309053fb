"""Who reaches for what they may not have is noted: by ids, without a secret, and without hearing of it."""

import os
import re
import subprocess
import sys
from ipaddress import ip_address
from typing import Any

import pytest
from django.test import Client

from operators import api_keys, staff
from operators.api.permissions import MATRIX, Reach
from operators.models import Operator, Role
from tenants import isolation
from tests.conftest import Api, Cast, assemble
from tests.contract import witness
from tests.contract.routes import ROUTES, Route, call, stage, stage_anything
from tests.contract.test_other_tenant import NO_SUCH_ID, WALK

PASSWORD = "correct horse battery"


def noted(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """The security events so far, fact by fact; each says where it came from."""
    lines = [record.getMessage() for record in caplog.records if record.name == "convalloc.security"]
    events = [{"event": line.split()[0]} | dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]
    assert all(ip_address(event.pop("address")) for event in events)
    return events


def by(caller: Operator, operation: str, **facts: object) -> dict[str, str]:
    """What is noted of somebody who may not."""
    who = {"operator_id": caller.pk, "tenant_id": caller.tenant_id, "operation": operation}
    return {"event": "authz_fail"} | {name: str(value) for name, value in (facts | who).items()}


@pytest.mark.parametrize(("route", "position"), WALK, ids=[f"{route} {position}" for route, position in WALK])
def test_another_tenants_id_is_noted_with_whose_it_is_and_one_that_nobody_has_is_no_trespass(
    cast: Cast, neighbours: Cast, api: type[Api], caplog: pytest.LogCaptureFixture, route: Route, position: str
) -> None:
    kind = position.rstrip("?")
    own, foreign = stage_anything(cast), stage_anything(neighbours)

    answers = [api(cast.ada).call(*call(route, own | {position: id_})) for id_ in (NO_SUCH_ID, foreign[kind])]

    facts = {"what": kind.replace(" ", "_"), "id": foreign[kind], "of_tenant_id": neighbours.tenant.pk}
    assert noted(caplog) == [by(cast.ada, route.operation, code="another_tenants", **facts)]
    assert [answer.status for answer in answers] == [404, 404]


@pytest.mark.parametrize("route", [route for route in ROUTES if Reach.NOBODY in MATRIX[route.operation].values()], ids=str)
def test_a_role_too_low_is_noted_and_one_that_suffices_is_not(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture, route: Route
) -> None:
    ids = stage(cast, route.operation, cast.olga)

    answers = [api(caller).call(*call(route, ids)) for caller in (cast.olga, cast.ada)]

    assert answers[0].status == 403 > answers[1].status
    assert noted(caplog) == [by(cast.olga, route.operation, code="role_too_low")]


def test_ones_own_inbox_where_one_does_not_answer_is_noted_as_what_it_is(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture
) -> None:
    answer = api(cast.otto).get(f"/labels?inbox_id={cast.sales.pk}")

    assert answer.status == 403
    assert noted(caplog) == [by(cast.otto, "label-list", code="not_your_inbox")]


def test_an_inbox_of_ones_own_among_those_that_are_not_there_is_no_trespass(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture
) -> None:
    limits = [{"inbox_id": inbox_id, "limit": 2} for inbox_id in (cast.sales.pk, NO_SUCH_ID)]

    answer = api(cast.mia).call("PATCH", f"/operators/{cast.otto.pk}/capacity", {"inboxes": limits})

    assert (answer.status, noted(caplog)) == (404, [])


def test_a_key_without_the_scope_is_noted_and_named_but_not_shown(cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture) -> None:
    with isolation.act_as(cast.tenant.pk):
        key, text = api_keys.make("CRM", acts_as=cast.mia.pk, scopes=["labels:read"], days=1, by=cast.ada)
    program = api(None)
    program.headers = {"Authorization": f"Bearer {text}"}

    answer = program.get("/conversations")

    assert answer.status == 403
    assert noted(caplog) == [by(cast.mia, "conversation-list", code="scope_missing", api_key_id=key.pk)]
    assert text.split("_", 3)[3] not in caplog.text


@pytest.mark.parametrize("path", ["status", "stats", "inboxes", "capacity", "presence", "heartbeat"])
def test_an_id_too_big_for_any_row_is_looked_up_nowhere(cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture, path: str) -> None:
    answer = api(cast.ada).call("POST" if path == "heartbeat" else "GET", f"/operators/{2**63}/{path}")

    assert (answer.status, noted(caplog)) == (404, [])


def test_an_account_of_the_platform_is_noted(db: None, api: type[Api], caplog: pytest.LogCaptureFixture) -> None:
    superuser = Operator.objects.create_superuser("root@platform.example", None, role=Role.ADMIN)

    api(superuser).get("/conversations")

    assert noted(caplog) == [{"event": "authz_fail", "code": "platform_account", "operation": "conversation-list"}]


def test_the_note_of_a_recalculation_refused_stands_in_no_transaction(
    committed: None, api: type[Api], caplog: pytest.LogCaptureFixture
) -> None:
    cast = assemble()

    answer = api(cast.mia).post("/conversations/update-priorities")

    assert witness.said(answer) == witness.role_too_low("ADMIN")
    assert noted(caplog) == [by(cast.mia, "recalculation-update-priorities", code="role_too_low")]


def test_signing_in_is_noted_at_either_door_and_so_is_what_did_not_work(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture
) -> None:
    with isolation.act_as(cast.tenant.pk):
        mia = staff.set_password(cast.mia.pk, PASSWORD)

    for password in ("wrong", PASSWORD):
        api(None).post("/auth/token", email=mia.email, password=password)
        api(None).client.post("/admin/login/", {"username": mia.email, "password": password})

    failed = {"event": "authn_login_fail", "operator_id": str(mia.pk)}
    succeeded = {"event": "authn_login_success", "operator_id": str(mia.pk), "tenant_id": str(mia.tenant_id)}
    assert noted(caplog) == [failed, failed, succeeded, succeeded | {"door": "console"}]
    assert mia.email not in caplog.text


def test_a_page_of_the_console_that_ones_role_does_not_open_is_noted(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    browser = Client()
    with isolation.act_as(cast.tenant.pk):
        browser.force_login(cast.mia, backend="operators.console.ConsoleBackend")

    statuses = [browser.get(f"/admin/tenants/inbox/{page}").status_code for page in ("", "add/")]

    assert statuses == [200, 403]
    assert noted(caplog) == [by(cast.mia, "admin:tenants_inbox_add", code="console")]


@pytest.mark.parametrize("whose", ["caller", "tenant"])
def test_who_asks_too_often_is_noted_with_the_limit(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture, settings: Any, whose: str
) -> None:
    setattr(settings, f"RATE_LIMIT_{whose.upper()}", 1)

    statuses = [api(cast.olga).get("/inboxes").status for _ in range(2)]

    assert statuses == [200, 429]
    (event,) = noted(caplog)
    assert event == by(cast.olga, "inbox-list", limit=whose) | {"event": "rate_limit_exceeded"}


def test_an_address_that_asks_too_often_is_noted_by_its_name(
    db: None, api: type[Api], caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.RATE_LIMIT_ADDRESS = 1
    somebody = api(None)

    statuses = [somebody.get("/inboxes").status for _ in range(2)]

    assert statuses == [401, 429]
    assert f"rate_limit_exceeded limit=address address={somebody.client.defaults['REMOTE_ADDR']}" in caplog.text


def test_whoever_wants_little_to_read_is_told_all_the_same() -> None:
    says = "import django; django.setup(); from convalloc import security; security.tell('authn_login_fail', operator_id=1)"
    environment = os.environ | {"LOG_LEVEL": "CRITICAL", "DJANGO_SETTINGS_MODULE": "convalloc.settings"}

    told = subprocess.run([sys.executable, "-c", says], env=environment, capture_output=True, text=True, check=True).stdout

    assert told.endswith("authn_login_fail operator_id=1\n")

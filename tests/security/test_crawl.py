"""The whole API and the console over real HTTP, under every role, with every id of another tenant: not a byte of it comes back."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from django.contrib import admin
from django.test import Client

from convalloc.api.docs import openapi
from operators import api_keys, staff
from operators.api.permissions import SCOPES
from tenants import isolation
from tests import production
from tests.conftest import Cast, assemble
from tests.contract import witness
from tests.contract.routes import ROUTES, stage_anything
from tests.contract.test_other_tenant import positions
from tests.security import canaries, crawler
from tests.security.canaries import Aviary
from tests.security.crawler import Heard, Question

PRODUCT, WITH_A_HOLE = "convalloc.wsgi:application", "tests.security.with_a_hole:application"
PASSWORD = "correct horse battery"
ROLES = ("OPERATOR", "MANAGER", "ADMIN", "API key")
CONSOLE_PAGES = (
    "",
    "?q=kanarienvog",
    "?o=-1",
    "add/",
    "{id}/change/",
    "{id}/history/",
    "{id}/delete/",
)  # the search box repeats what was sought: not the whole word
LONELY = ("/schema", "/docs", "/nothing-here", "/../../.well-known/jwks.json", "/inboxes/")


@contextmanager
def served(application: str, folder: Path) -> Iterator[str]:
    """The address of the application; it logs all it can into the folder."""
    environment = os.environ | {"SHUTDOWN_DELAY_SECONDS": "0", "LOG_LEVEL": "DEBUG"}
    with production.serve(application, environment=environment, log=folder / "api.log", workers=2, threads=4) as api:
        yield f"http://127.0.0.1:{api.port}"


def credential(house: Cast, base: str, role: str) -> str:
    """How a role shows who it is: people by a token, a program by a key that opens all that keys open."""
    with isolation.act_as(house.tenant.pk):
        if role == "API key":
            return api_keys.make("crawler", acts_as=house.ada.pk, scopes=SCOPES, days=1, by=house.ada)[1]
        email = staff.set_password({"OPERATOR": house.olga, "MANAGER": house.mia, "ADMIN": house.ada}[role].pk, PASSWORD).email
    answer = httpx.post(f"{base}/api/v1/auth/token", json={"email": email, "password": PASSWORD})
    return str(answer.json()["data"]["access_token"])


def crawl(aviary: Aviary, base: str, role: str) -> list[Heard]:
    """All that a role of a new tenant hears when it asks everything, and turns every page that it is offered."""
    house = assemble()
    ids = stage_anything(house)
    own = {"conversations": ids["conversation"], "operators": ids["operator"], "labels": ids["label"], "inboxes": ids["inbox"]}
    own |= {"grace_period_assignments": ids["grace period"], "api_keys": ids["api key"]}
    document = httpx.get(f"{base}/api/v1/schema").json()
    questions = [question for operation in crawler.operations(document) for question in crawler.trials(operation, own, aviary.ids)]
    number = {"phone_number": canaries.phone(101)}
    questions += [Question("GET", "/conversations/search", number, None), Question("POST", "/conversations/search", {}, number)]
    questions += [Question("GET", path, {}, None) for path in LONELY]
    questions += [Question("GET", "/conversations", {"limit": 1, "sort": sort}, None) for sort in ("priority", "newest", "oldest")]
    headers = {"Authorization": f"Bearer {credential(house, base, role)}"}
    heard = crawler.call(f"{base}/api/v1", questions, headers)
    return heard + crawler.call(f"{base}/api/v1", list(next_pages(heard)), headers)


def next_pages(heard: list[Heard]) -> Iterator[Question]:
    """The questions again, a page further."""
    for question, status, raw in heard:
        body = raw.partition(b"\r\n\r\n")[2]
        if status == 200 and b'"next_cursor":"' in body and question.method == "GET":
            cursor = body.partition(b'"next_cursor":"')[2].partition(b'"')[0].decode()
            yield question._replace(query=question.query | {"cursor": cursor})


def browse(aviary: Aviary, base: str, role: str) -> list[Heard]:
    """All that somebody of a new tenant sees in the console, with an id of the other tenant on every page that takes one."""
    house, client = assemble(), Client()
    stage_anything(house)
    with isolation.act_as(house.tenant.pk):
        client.force_login({"MANAGER": house.mia, "ADMIN": house.ada}[role], backend="operators.console.ConsoleBackend")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    paths = [""]
    for model in admin.site._registry:
        ids = aviary.ids.get(model._meta.db_table, [1])
        paths += [f"{model._meta.app_label}/{model._meta.model_name}/{page.format(id=ids[0])}" for page in CONSOLE_PAGES]
    seen = crawler.call(f"{base}/admin/", [Question("GET", path, {}, None) for path in paths], {}, cookies)
    assert seen[0].status == 200, "nobody is signed in"
    return seen + crawler.call(f"{base}/admin/", [Question("GET", "", {}, None)], {}, cookies)


def told_on(heard: list[Heard], aviary: Aviary) -> list[tuple[Question, list[str]]]:
    """What gave something of the other tenant away."""
    return [(found.question, marks) for found in heard if (marks := canaries.heard(found.raw, aviary.cast.tenant.pk))]


@pytest.mark.usefixtures("committed")
def test_no_byte_of_another_tenant_comes_back(tmp_path: Path) -> None:
    aviary = canaries.plant()
    assert canaries.singing(aviary.cast) == canaries.SINGING
    with witness.untouched(aviary.cast), served(PRODUCT, tmp_path) as base:
        heard = [found for role in ROLES for found in crawl(aviary, base, role)]
        heard += [found for role in ("MANAGER", "ADMIN") for found in browse(aviary, base, role)]

    hits = told_on(heard, aviary)
    log = (tmp_path / "api.log").read_bytes()
    statuses = Counter(found.status for found in heard)
    sys.stdout.write(
        f"\ncrawl: {len(heard)} responses {dict(sorted(statuses.items()))}, {len(log)} bytes of log, canary hits {len(hits)}\n"
    )
    assert hits == []
    assert canaries.heard(log) == []
    assert [found.question for found in heard if found.status >= 500] == []
    assert {200, 403, 404} <= statuses.keys()


@pytest.mark.usefixtures("committed")
def test_through_a_hole_made_on_purpose_something_comes(tmp_path: Path) -> None:
    """The control: the policy of one table bent, and the ORM's scope off for it."""
    aviary = canaries.plant()
    with served(WITH_A_HOLE, tmp_path) as base, bent("inboxes"):
        heard, seen = crawl(aviary, base, "ADMIN"), browse(aviary, base, "ADMIN")

    assert {"/inboxes"} <= {question.path for question, _ in told_on(heard, aviary)}
    assert {"tenants/inbox/"} <= {question.path for question, _ in told_on(seen, aviary)}


@contextmanager
def bent(table: str) -> Iterator[None]:
    """In here a table's policy hides nothing."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        found = owner.execute("SELECT qual FROM pg_policies WHERE tablename = %s AND policyname = 'tenant_wall'", [table]).fetchone()
        assert found is not None
        owner.execute(f"ALTER POLICY tenant_wall ON {table} USING (true)".encode())
        try:
            yield
        finally:
            owner.execute(f"ALTER POLICY tenant_wall ON {table} USING ({found[0]})".encode())


@pytest.mark.parametrize(
    "disguise",
    [
        b"kanarienvogel",
        b"KanarienVogel",
        b"%6banarienvogel",
        b"\\u006banarienvogel",
        b"&#107;anarienvogel",
        b"xx.a2FuYXJpZW52b2dlbA==",
        b"priority|xa2FuYXJpZW52b2dlbA|3",
        b"+4915777777003",
        b"%2B4915777777003",
    ],
)
def test_the_ear_hears_a_canary_in_every_disguise(disguise: bytes) -> None:
    assert canaries.heard(b"ETag: W/" + disguise + b"\r\n\r\n{}") != []


def test_the_walk_goes_everywhere_that_the_tests_of_the_routes_go() -> None:
    walked = Counter(operation.method.upper() for operation in crawler.operations(openapi()) for _ in operation.places)

    assert walked.total() >= sum(len(positions(route)) for route in ROUTES)

"""Link: rel="next" on every paged list: a client that knows nothing but headers walks to the end, and meets what a cursor meets."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from convalloc.api.docs import openapi
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract import witness
from tests.tenants.test_feed import wait_until_final

NEXT = re.compile(r'</api/v1(?P<path>/[^>]+)>; rel="next"')
PATHS: dict[str, Callable[[Cast], tuple[Any, str]]] = {
    "/conversations": lambda cast: (cast.mia, "/conversations?sort=newest&state=QUEUED&limit=2"),
    "/conversations/search": lambda cast: (cast.mia, "/conversations/search?phone_number=%2B19870000000&limit=2"),
    "/conversations/{id}/timeline": lambda cast: (cast.mia, f"/conversations/{busy(cast)}/timeline?limit=2"),
    "/events": lambda cast: (cast.ada, "/events?limit=2&kinds=conversation.claimed,%20conversation.deallocated"),
    "/grace-periods": lambda cast: (cast.mia, "/grace-periods?limit=2"),
    "/operators/{id}/presence": lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/presence?limit=2"),
}


def busy(cast: Cast) -> int:
    """A conversation to which much has happened."""
    row = cast.conversation()
    for _ in range(4):
        assert Api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk).status == 200
        assert Api(cast.mia).post("/conversations/deallocate", conversation_id=row.pk).status == 200
    return int(row.pk)


def rows(answer: Answer) -> list[Any]:
    """What stands on a page."""
    found: Any = answer.data
    if isinstance(found, dict):
        found = found.get("conversations", found.get("periods"))
    return [row.get("id", row.get("started_at")) for row in found]


def followed(caller: Api, path: str, follow: Callable[[Answer, str], str | None]) -> list[list[Any]]:
    """The pages of a walk."""
    pages: list[list[Any]] = []
    at: str | None = path
    while at is not None:
        answer = caller.get(at)
        assert answer.status == 200, answer.body
        pages.append(rows(answer))
        at = follow(answer, path)
        assert len(pages) < 100
    return pages


def by_link(answer: Answer, path: str) -> str | None:
    if "Link" not in answer.headers:
        return None
    found = NEXT.fullmatch(answer.headers["Link"])
    assert found, answer.headers["Link"]
    return found["path"]


def by_cursor(answer: Answer, path: str) -> str | None:
    told = answer.data if isinstance(answer.data, dict) else answer.body["meta"]
    if not told["has_more"]:
        return None
    name, value = ("after", told["next_after"]) if "next_after" in told else ("cursor", told["next_cursor"])
    return f"{path}&{name}={value.replace('+', '%2B')}"


def test_every_list_that_has_pages_is_walked() -> None:
    paged = {
        path.removeprefix("/api/v1")
        for path, methods in openapi()["paths"].items()
        for told in [methods.get("get", {})]
        if {parameter["name"] for parameter in told.get("parameters", [])} & {"cursor", "after"}
    }

    assert paged == PATHS.keys()
    for path in paged:
        assert "Link" in openapi()["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["headers"]


@pytest.mark.parametrize("template", PATHS)
def test_the_link_leads_where_the_cursor_leads_and_ends_where_it_ends(committed: None, template: str) -> None:
    cast = assemble()
    for _ in range(5):
        cast.conversation(customer_phone_number="+19870000000")
    for status in ("AWAY", "AVAILABLE") * 3:
        Api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)
    if template == "/events":
        busy(cast)
        wait_until_final(cast)
    if template == "/grace-periods":
        for _ in range(5):
            witness.kept(cast, cast.operator())
    who, path = PATHS[template](cast)

    linked, told = (followed(Api(who), path, way) for way in (by_link, by_cursor))

    assert linked == told
    assert len([page for page in linked if page]) >= 3


def test_what_was_asked_with_a_body_has_no_link(cast: Cast, api: type[Api]) -> None:
    """A number that was kept out of the URL stays out of it."""
    for _ in range(3):
        cast.conversation(customer_phone_number="+19870000000")

    answer = api(cast.mia).post("/conversations/search", phone_number="+19870000000", limit=2)

    assert answer.body["meta"]["has_more"]
    assert "Link" not in answer.headers

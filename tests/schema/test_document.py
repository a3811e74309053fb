"""The OpenAPI document and the page that shows it: valid, complete, open to anyone, without a database and without a CDN."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLResolver, get_resolver
from openapi_spec_validator import validate

from convalloc.api.docs import openapi
from conversations.api import shapes
from conversations.api.filters import ConversationFilter
from conversations.api.pages import PageRequest
from operators.api.permissions import MATRIX
from tests.architecture import reference
from tests.schema.answers import faults

SIGNED = {"signedAs": "X-Api-Key-Id", "signedId": "webhook-id", "signedAt": "webhook-timestamp", "signature": "webhook-signature"}
VERBS = ("get", "post", "put", "patch", "delete")
ABOUT_ITSELF = {"/api/v1/schema", "/api/v1/docs"}


def operations() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method.upper()} {path}", told) for path, methods in openapi()["paths"].items() for method, told in methods.items()]


def shown(example: dict[str, Any]) -> Any:
    """An example's value: its own, or the one among the components that it shares with others."""
    shared = openapi()["components"]["examples"]
    return (shared[example["$ref"].rsplit("/", 1)[1]] if "$ref" in example else example)["value"]


def routes() -> set[str]:
    """Method and path of everything that the URLconf has under /api/v1, in the schema's spelling."""
    (api,) = [entry for entry in get_resolver().url_patterns if isinstance(entry, URLResolver) and str(entry.pattern) == "api/v1/"]
    found = set()
    for route in api.url_patterns:
        named = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(route.pattern)).replace("{pk}", "{id}")
        path = "/api/v1/" + named.removeprefix("^").removesuffix("$").removesuffix("/?")
        view: Any = route.callback
        methods = [verb for verb in VERBS if verb in getattr(view, "actions", ()) or hasattr(view.cls, verb)]
        found |= {f"{method.upper()} {path}" for method in methods if path not in ABOUT_ITSELF}
    return found


OPEN = re.compile(r"/(health|auth)\b")


def test_is_openapi_3_1_and_valid() -> None:
    assert openapi()["openapi"].startswith("3.1")
    validate(openapi())


def test_stands_in_the_repository_as_the_code_has_it() -> None:
    assert reference.DOCUMENT.read_text() == reference.document(), f"Write it anew: {reference.__doc__}"


def test_is_made_without_a_warning() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO())


def test_covers_exactly_the_routes() -> None:
    assert {name for name, _ in operations()} == routes()


def test_names_paths_without_traces_of_their_patterns() -> None:
    assert [path for path in openapi()["paths"] if re.search(r"[?^$()\\]|/$", path)] == []


def named(reference: dict[str, Any]) -> dict[str, Any]:
    """The shape that a reference leads to."""
    shape: dict[str, Any] = openapi()["components"]["schemas"][reference["$ref"].rsplit("/", 1)[1]]
    return shape


@pytest.mark.parametrize(("name", "told"), operations(), ids=[name for name, _ in operations()])
class TestEachOperation:
    def test_has_a_name_a_summary_and_a_tag(self, name: str, told: dict[str, Any]) -> None:
        assert re.fullmatch(r"[a-z_]+", told["operationId"])
        assert told["summary"]
        assert told["tags"] == [name.split("/")[3]]
        assert told["description"].endswith(".")

    def test_has_examples_that_fit(self, name: str, told: dict[str, Any]) -> None:
        contents = [answer["content"]["application/json"] for status, answer in told["responses"].items() if status != "304"]
        contents += [told["requestBody"]["content"]["application/json"]] if "requestBody" in told else []

        misfits = [faults(shown(example), content["schema"]) for content in contents for example in content["examples"].values()]

        assert all(content["examples"] for content in contents)
        assert [misfit for misfit in misfits if misfit] == []

    def test_says_that_a_body_takes_no_other_fields(self, name: str, told: dict[str, Any]) -> None:
        if "requestBody" not in told:
            return
        body = named(told["requestBody"]["content"]["application/json"]["schema"])

        assert [shape["additionalProperties"] for shape in [named(one) for one in body.get("oneOf", [])] or [body]] in (
            [False],
            [False] * 2,
        )

    def test_asks_for_the_caller_unless_it_is_a_probe(self, name: str, told: dict[str, Any]) -> None:
        ways = [[*SIGNED], ["bearer"], ["operatorId"]] if name.startswith("POST ") else [["bearer"], ["operatorId"]]
        asks = [list(way) for way in told.get("security", [])] == ways

        assert asks == (not OPEN.search(name))
        assert ({"401", "403", "503"} <= told["responses"].keys()) == asks


def test_operations_bear_the_names_of_the_role_matrix() -> None:
    ids = {told["operationId"].replace("_", "-") for name, told in operations() if not OPEN.search(name)}

    assert {re.sub(r"-by-(get|post)$", "", id_) for id_ in ids} == MATRIX.keys()
    assert len({told["operationId"] for _, told in operations()}) == len(operations())


def test_names_every_filter_of_the_list() -> None:
    (listed,) = [told for name, told in operations() if name == "GET /api/v1/conversations"]

    assert {parameter["name"] for parameter in listed["parameters"]} == PageRequest().fields.keys() | ConversationFilter.base_filters.keys()
    assert shapes.ConversationFilters().fields.keys() == {parameter["name"] for parameter in listed["parameters"]}


def test_says_how_the_caller_is_named() -> None:
    schemes = openapi()["components"]["securitySchemes"]

    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    for name, header in {"operatorId": "X-Operator-Id", **SIGNED}.items():
        assert (schemes[name]["type"], schemes[name]["in"], schemes[name]["name"]) == ("apiKey", "header", header)


# --- the two routes: these tests have no database, so that touching one fails them -----------------


class Links(HTMLParser):
    """What a page loads, and the scripts that stand in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img"):
            self.loads += [value for name in ("src", "href") if (value := given.get(name))]
        self.inline += tag == "script" and "src" not in given


@pytest.mark.parametrize("path", ["/api/v1/schema", "/api/v1/schema/"])
def test_the_schema_is_open_to_anyone(path: str) -> None:
    answer = Client().get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == openapi()


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/docs/"])
def test_the_page_loads_everything_from_here(path: str, settings: Any) -> None:
    assert settings.DEBUG is False

    page = Links(Client().get(path).content.decode())

    assert len(page.loads) >= 5
    assert page.inline == 0
    for link in page.loads:
        assert link.startswith("/")
        assert not link.startswith("//")
        asset = Client().get(link)
        assert (asset.status_code, len(asset.getvalue()) > 500) == (200, True), link


def test_the_page_s_script_reads_our_schema() -> None:
    script = Client().get("/api/v1/docs?script=").content.decode()

    assert 'url: "/api/v1/schema' in script.replace("\\u002D", "-").replace("\\/", "/")
    assert "//cdn" not in script


def test_the_page_is_no_place_for_a_stranger_s_frame() -> None:
    assert Client().get("/api/v1/docs").headers["X-Frame-Options"] == "DENY"

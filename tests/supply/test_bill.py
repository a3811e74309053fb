"""What is pinned is known: every package with its hashes and a licence that fits, in a form that others can read."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, ValidationError  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.supply import bill
from tests.supply.bill import FIT, NOTES, READ, ROOT, Package

SCHEMAS = Path(__file__).parent / "cyclonedx"
PACKAGES = bill.pinned()


def cyclonedx() -> Draft7Validator:
    """CycloneDX's own schema."""
    documents = {file.name: json.loads(file.read_text()) for file in SCHEMAS.glob("*.json")}
    registry = Registry[Any]().with_resources(
        (f"http://cyclonedx.org/schema/{name}", DRAFT7.create_resource(document)) for name, document in documents.items()
    )
    return Draft7Validator(documents["bom-1.6.SNAPSHOT.schema.json"], registry=registry)


def test_every_line_that_pins_is_read() -> None:
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line and line[0] not in " #"]

    assert len(PACKAGES) == len(pins)
    assert all(one.hashes and one.needed_by for one in PACKAGES)


@pytest.mark.parametrize("one", PACKAGES, ids=lambda one: f"{one.name} {one.version}")
def test_the_licence_of_a_package_is_known_and_fits(one: Package) -> None:
    assert bill.ids(one.licence), f"Find out {one.name}'s licence, and write it into READ"
    assert bill.ids(one.licence) <= FIT, f"{one.name} is {one.licence}: may it stand beside an ISC project?"


def test_the_list_of_licences_is_current() -> None:
    assert (ROOT / "docs" / "licences.md").read_text() == bill.page(), "Say: make sbom"


def test_nothing_is_said_of_packages_that_are_gone() -> None:
    assert (READ.keys() | NOTES.keys()) - {one.name for one in PACKAGES} == set()


def test_the_bill_is_cyclonedx() -> None:
    cyclonedx().validate(bill.bill())


NO_BILLS: list[dict[str, Any]] = [
    {"bomFormat": "SPDX"},
    {"components": [{"name": "x"}]},
    {"components": [{"type": "library", "name": "x", "hashes": [{"alg": "MD6"}]}]},
    {"components": [{"type": "library", "name": "x", "licenses": [{"license": {"id": "BSD"}}]}]},
]


@pytest.mark.parametrize("bent", NO_BILLS)
def test_control_the_schema_refuses_what_is_no_bill(bent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cyclonedx().validate(bill.bill() | bent)


def test_every_dependency_leads_to_a_component_and_every_component_from_the_project() -> None:
    made = bill.bill()
    graph = {entry["ref"]: entry["dependsOn"] for entry in made["dependencies"]}
    reached, ahead = set[str](), [made["metadata"]["component"]["bom-ref"]]
    while ahead:
        one = ahead.pop()
        reached.add(one)
        ahead += [needed for needed in graph[one] if needed not in reached]

    assert reached == graph.keys()
    assert reached - {made["metadata"]["component"]["bom-ref"]} == {one["bom-ref"] for one in made["components"]}

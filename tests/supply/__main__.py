"""`make sbom`."""

from tests.supply import bill

bill.write()

"""Who a customer is to us: a phone number. Of one who is forgotten there remain a keyed hash and a number that stands in."""

from typing import NamedTuple, Self

from convalloc import phones, vault
from conversations.models import STAND_IN


class Contact(NamedTuple):
    """A customer of one tenant. Who has the number and SECRET_KEY can tell that a stand-in is theirs, and nobody else can."""

    number: str  # canonical
    spellings: list[str]  # in which the number may be kept
    fingerprint: str  # 32 hexadecimal digits; another one in every tenant
    stand_in: str  # in the form of E.164, so that clients which expect a number find one
    former: list[str]  # what stood in under a former SECRET_KEY

    @classmethod
    def of(cls, tenant_id: int, spelled: str) -> Self:
        """The contact with this number, however it is spelled."""
        number = phones.canonical(spelled)
        digests = vault.fingerprints(f"{tenant_id} {number}")
        stand_in, *former = (f"{STAND_IN}{int.from_bytes(digest) % 10**12:012}" for digest in digests)
        return cls(number, phones.spellings(spelled), digests[0].hex()[:32], stand_in, former)

    @property
    def in_text(self) -> tuple[str, str]:
        """Its digits, as SQL's number_in_text takes them."""
        return phones.in_parts(self.number)

"""Who a customer is to us: a phone number. Of one who is forgotten there remain a keyed hash and a number that stands in."""

from typing import NamedTuple, Self

from convalloc import phones, vault
from conversations.models import STAND_IN

ERASED = "erased-"  # how an id begins that a digest stands for


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


def name_of_thread(tenant_id: int, conversation_id: int) -> str:
    """What the messaging system's id of a conversation becomes: nobody can have taken it, because nobody knows it beforehand."""
    return f"{ERASED}{conversation_id}-{vault.fingerprints(f'{tenant_id} thread {conversation_id}')[0].hex()[:16]}"


def ids_of_message(tenant_id: int, provider: str, message_id: str) -> list[str]:
    """What a message may be kept under: its own id, or a digest of it, where its customer is forgotten."""
    return [message_id, *digests(tenant_id, provider, message_id)]


def digests(tenant_id: int, provider: str, message_id: str) -> list[str]:
    """What stands for the id of a message whose customer is forgotten: under SECRET_KEY, then under each of SECRET_KEY_FALLBACKS.

    Whoever brings the message again has its id, and is known by it. Another one in every tenant and for every provider.
    """
    return [f"{ERASED}{digest.hex()[:32]}" for digest in vault.fingerprints(f"{tenant_id} message {provider} {message_id}")]

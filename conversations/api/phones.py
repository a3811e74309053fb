"""Phone numbers as clients spell them in a search."""

from urllib.parse import unquote


def spellings(phone_number: str) -> list[str]:
    """The ways in which a number may be stored. The plus sign may have arrived as `+`, `%2B`, a space, or not at all."""
    bare = unquote(phone_number).strip().lstrip("+").strip()
    return [f"+{bare}", bare]

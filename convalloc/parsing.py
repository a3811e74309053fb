"""What the text of a setting may be: each parser returns the value, or raises a ValueError that says what is wrong."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import environ


def weight(text: str) -> Decimal:
    """A priority weight: 0 to 100 with at most four decimals, so that ranks stay exact whole microseconds."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not value.is_finite() or not 0 <= value <= 100 or value != round(value, 4):
        raise ValueError(f"{text!r} is not a weight from 0 to 100 with at most four decimals")
    return value


def switch(text: str) -> bool:
    """true or false, and nothing that only looks like it."""
    if text.lower() not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in environ.Env.BOOLEAN_TRUE_STRINGS


def words(text: str) -> list[str]:
    """A comma separated list; blanks around a word do not count."""
    return [word.strip() for word in text.split(",") if word.strip()]


def log_level(text: str) -> str:
    """One of logging's five names, in any case (the old deployment wrote `info`)."""
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise ValueError(f"{text!r} is no log level")
    return text.upper()


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser for a whole number from low to high, in plain digits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise ValueError(f"{text!r} is not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"{value} is not from {low} to {high}")
        return value

    return parse


def server_url(*schemes: str) -> Callable[[str], str]:
    """A parser for the URL of a server; what it refuses it does not repeat, because a URL holds a password."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            known = parts.scheme in schemes and "://" in text and parts.port != 0 and bool(parts.hostname or parts.path.strip("/"))
        except ValueError:  # a port that is no number
            known = False
        if not known:
            raise ValueError(f"that is no URL like {schemes[0]}://user:password@host:port/name")
        return text

    return parse


def origins(text: str) -> list[str]:
    """Comma separated origins: a scheme and a host, without a path and without a pattern."""
    found = words(text)
    if wrong := [origin for origin in found if not re.fullmatch(r"https?://[^/\s?#@*]+", origin)]:
        raise ValueError(f"{', '.join(wrong)} is no origin like https://desk.example.com")
    return found


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Comma separated networks, such as 10.1.0.0/16; an address alone is one."""
    return [ip_network(word) for word in words(text)]


def existing_file(text: str) -> str:
    """A file that was named must be there: settings that are silently not read become defaults."""
    if not Path(text).is_file():
        raise ValueError(f"there is no file {text}")
    return text

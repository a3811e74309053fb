"""Secrets that must be read again are kept sealed: without SECRET_KEY a copy of the database tells nothing of them.

Fernet (AES-128-CBC and HMAC-SHA256) under a key that HKDF-SHA256 draws from SECRET_KEY, so that it serves nothing else.
What SECRET_KEY_FALLBACKS sealed is still opened. What must only be known again leaves a fingerprint (HMAC-SHA256, another
key of the same kind). Sources: cryptography's documentation, Fernet; RFC 5869; RFC 2104.
"""

import base64
import hmac
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(RuntimeError):
    """Sealed under a SECRET_KEY that is neither set nor among SECRET_KEY_FALLBACKS."""


def seal(secret: bytes, word: str = "") -> str:
    """What to keep in place of the secret. With a word of somebody's it takes that, too, to open it."""
    return _vault(word).encrypt(secret).decode()


def open_(sealed: str, word: str = "") -> bytes:
    """The secret. Raises Unreadable."""
    try:
        return _vault(word).decrypt(sealed.encode())
    except InvalidToken as problem:
        raise Unreadable(
            "A secret in the database was sealed under another SECRET_KEY: put the former one into SECRET_KEY_FALLBACKS."
        ) from problem


def fingerprints(text: str) -> list[bytes]:
    """By what a text is known again to whoever has it and the key: under SECRET_KEY, then under each of SECRET_KEY_FALLBACKS."""
    return [hmac.digest(_drawn_from(key, b"convalloc fingerprint"), text.encode(), "sha256") for key in _keys()]


def _vault(word: str) -> MultiFernet:
    drawn = [_drawn_from(key, b"convalloc vault") for key in _keys()]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hmac.digest(key, word.encode(), "sha256") if word else key)) for key in drawn])


def _keys() -> list[str]:
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


@cache
def _drawn_from(key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key.encode())

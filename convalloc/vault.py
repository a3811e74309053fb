"""Secrets that must be read again are kept sealed: without SECRET_KEY a copy of the database tells nothing of them.

Fernet (AES-128-CBC and HMAC-SHA256) under a key that HKDF-SHA256 draws from SECRET_KEY, so that it serves nothing else.
What SECRET_KEY_FALLBACKS sealed is still opened. Sources: cryptography's documentation, Fernet; RFC 5869.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(RuntimeError):
    """Sealed under a SECRET_KEY that is neither set nor among SECRET_KEY_FALLBACKS."""


def seal(secret: bytes) -> str:
    """What to keep in place of the secret."""
    return _vault().encrypt(secret).decode()


def open_(sealed: str) -> bytes:
    """The secret. Raises Unreadable."""
    try:
        return _vault().decrypt(sealed.encode())
    except InvalidToken as problem:
        raise Unreadable(
            "A secret in the database was sealed under another SECRET_KEY: put the former one into SECRET_KEY_FALLBACKS."
        ) from problem


def _vault() -> MultiFernet:
    return MultiFernet([Fernet(_drawn_from(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _drawn_from(key: str) -> bytes:
    drawn = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"convalloc vault").derive(key.encode())
    return base64.urlsafe_b64encode(drawn)

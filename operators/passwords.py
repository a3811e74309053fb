"""How passwords are hashed: Argon2id with what OWASP asks for at least, so that a few sign-ins at once do not fill the memory."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """19 MiB, two passes, one lane, about 20 ms. Source: OWASP's Password Storage cheat sheet; Django's own cost 100 MiB each."""

    memory_cost = 19_456  # KiB
    time_cost = 2
    parallelism = 1

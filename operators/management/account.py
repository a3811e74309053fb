"""What the commands that make or change an account have in common: where a password comes from, and how a refusal is told."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError

from convalloc.api import answers
from convalloc.errors import DomainError
from operators.models import Operator

VARIABLE = "DJANGO_SUPERUSER_PASSWORD"  # Django's name for it


class AccountCommand(BaseCommand):
    """A password is never an argument: every user of the machine could read it in the list of processes."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--noinput", "--no-input", action="store_true", help=f"ask nothing: the password is in {VARIABLE}")

    def password_for(self, account: Operator, *, noinput: bool) -> str:
        """The account's new password, validated. It asks, so call it outside a transaction: one that idles is ended after four seconds."""
        password = self._from_environment() if noinput else self._asked_twice(account)
        try:
            validate_password(password, account)
        except ValidationError as refusal:
            raise CommandError("The password is refused: " + " ".join(refusal.messages)) from refusal
        return password

    def _from_environment(self) -> str:
        if not os.environ.get(VARIABLE):
            raise CommandError(f"--noinput takes the password from the environment variable {VARIABLE}, which is not set.")
        return os.environ[VARIABLE]

    def _asked_twice(self, account: Operator) -> str:
        if not sys.stdin.isatty():
            raise CommandError(f"There is no terminal to ask for a password on: set {VARIABLE} and say --noinput.")
        try:
            password, again = getpass.getpass(f"Password for {account.email}: "), getpass.getpass("Password (again): ")
        except (EOFError, KeyboardInterrupt) as left:
            raise CommandError("Cancelled.") from left
        if password != again:
            raise CommandError("The two passwords differ.")
        return password


def email_address(text: str) -> str:
    """An argument that is an email address, as accounts store it. Raises CommandError."""
    try:
        return str(Operator._meta.get_field("email").clean(text.strip().lower(), None))
    except ValidationError as refusal:
        raise CommandError(f"{text!r} cannot be an account's address: {' '.join(refusal.messages)}") from refusal


@contextmanager
def refusals_told() -> Iterator[None]:
    """A room's refusal, or a constraint's, as CommandError: one sentence and exit code 1."""
    try:
        yield
    except (DomainError, IntegrityError) as problem:
        refusal = answers.translate(problem) if isinstance(problem, IntegrityError) else problem
        if refusal is None:
            raise
        raise CommandError(f"{refusal.message}. Nothing was changed.") from problem

"""`manage.py forget_second_factor`: for somebody who has lost their authenticator and the recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from operators import accounts, second_factor
from tenants import isolation


class Command(BaseCommand):
    help = "Let an account sign in by its password alone again. Make sure first that it is its owner who has lost the second factor."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the address that the account signs in with")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        account = accounts.find_by_email(email)
        if account is None:
            raise CommandError(f"There is no account {email!r}.")
        with isolation.act_as(account.tenant_id):
            had_one = second_factor.forget(account)
        self.stdout.write(f"{account.email} signs in by password alone{'' if had_one else ', as before'}")

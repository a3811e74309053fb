"""`manage.py changepassword`: in the place of Django's, which looks for the account before any tenant is bound."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from operators import accounts, staff
from operators.management.account import AccountCommand, refusals_told
from tenants import isolation


class Command(AccountCommand):
    help = "Set another password for an account of any tenant, or of the platform. It ends the account's sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email", help="the address that the account signs in with")

    def handle(self, *args: Any, email: str, noinput: bool, **options: Any) -> None:
        account = accounts.find_by_email(email)
        if account is None:
            raise CommandError(f"There is no account {email!r}.")
        password = self.password_for(account, noinput=noinput)
        with refusals_told(), isolation.act_as(account.tenant_id):
            staff.set_password(account.pk, password)
        self.stdout.write(f"Password of {account.email} (account {account.pk} of tenant {account.tenant_id}) changed")

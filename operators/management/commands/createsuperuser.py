"""`manage.py createsuperuser`: in the place of Django's, which looks for the address before any tenant is bound."""

from typing import Any

from django.core.management.base import CommandParser

from operators import staff
from operators.management.account import AccountCommand, email_address, refusals_told
from operators.models import Operator, Role
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID


class Command(AccountCommand):
    help = "Create an account of the platform itself. It belongs to no customer and sees none; create_tenant makes a customer's."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--email", required=True, help="the address to sign in with")

    def handle(self, *args: Any, email: str, noinput: bool, **options: Any) -> None:
        email = email_address(email)
        password = self.password_for(Operator(email=email), noinput=noinput)
        with refusals_told(), isolation.act_as(PLATFORM_TENANT_ID):
            account = staff.hire(email, password=password, role=Role.ADMIN)
        self.stdout.write(f"Account {account.pk} of the platform ({account.email}) created")

"""`manage.py create_tenant`: a new customer, with the first person who can sign in."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from operators import staff
from operators.management.account import AccountCommand, email_address, refusals_told
from operators.models import Operator, Role
from tenants import founding, isolation


class Command(AccountCommand):
    help = "Create a tenant and its first administrator, who can sign in to the console and hire everybody else there."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="the tenant's name; two may have the same, ids tell them apart")
        parser.add_argument("--admin", required=True, metavar="EMAIL", help="the administrator's address, to sign in with")
        parser.add_argument("--admin-name", default="", metavar="NAME", help="the administrator's name")

    def handle(self, *args: Any, name: str, admin: str, admin_name: str, noinput: bool, **options: Any) -> None:
        if not name.strip():
            raise CommandError("A tenant needs a name.")
        email = email_address(admin)
        password = self.password_for(Operator(email=email, name=admin_name), noinput=noinput)
        with refusals_told(), transaction.atomic():
            tenant = founding.found(name.strip())
            with isolation.act_as(tenant.pk):
                first = staff.hire(email, password=password, name=admin_name, role=Role.ADMIN)
        self.stdout.write(f"Tenant {tenant.pk} ({tenant.name}) created, with administrator {first.pk} ({first.email})")

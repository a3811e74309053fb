"""`manage.py migrate`, as the owner of the tables unless another database is named."""

from django.core.management.base import CommandParser
from django.core.management.commands import migrate


class Command(migrate.Command):
    """The runtime role of `default` may not change the schema: migrations log in as DATABASE_OWNER_URL."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

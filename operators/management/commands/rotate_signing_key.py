"""`manage.py rotate_signing_key`: access tokens are signed with a new key from now on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from operators import signing_keys


class Command(BaseCommand):
    help = (
        "Sign access tokens with a new key from now on. The former key is believed until its last token has expired; nobody is signed out. "
        "Exit codes: 0 done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--withdraw",
            action="store_true",
            help="believe no former key any more, because one has leaked: within a minute every client must use its refresh token",
        )

    def handle(self, *args: Any, withdraw: bool, **options: Any) -> None:
        key = signing_keys.rotate(withdraw=withdraw)
        believed = [other.kid for other in signing_keys.believed() if other.kid != key.kid]
        self.stdout.write(f"Key {key.kid} signs from now on. Believed besides: {', '.join(believed) or 'none'}")

"""Where customers write to: inboxes are opened, renamed, given another number. None is deleted: conversations happened there."""

from typing import Any

from django.db import IntegrityError, transaction

from convalloc.errors import Missing
from tenants import eventlog
from tenants.errors import DuplicateNumber
from tenants.models import Inbox

FACTS = ("name", "phone_number")


def open_inbox(name: str, phone_number: str) -> Inbox:
    """A new inbox of the bound tenant. Raises DuplicateNumber."""
    inbox = Inbox(name=name, phone_number=phone_number)
    _save(inbox)
    eventlog.append("inbox.created", inbox, after={"name": name, "phone_number": phone_number})
    return inbox


def change(inbox_id: int, **wished: Any) -> Inbox:
    """Another name or number; what is not named stays. Raises Missing, DuplicateNumber."""
    inbox = Inbox.objects.select_for_update(no_key=True).filter(pk=inbox_id).first()
    if inbox is None:
        raise Missing(what="Inbox")
    before = {name: getattr(inbox, name) for name in FACTS if getattr(inbox, name) != wished.get(name, getattr(inbox, name))}
    if not before:
        return inbox
    for name in before:
        setattr(inbox, name, wished[name])
    _save(inbox, update_fields=list(before))
    eventlog.append("inbox.changed", inbox, before=before, after={name: wished[name] for name in before})
    return inbox


def _save(inbox: Inbox, update_fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():  # a savepoint: after a refusal the transaction goes on
            inbox.save(update_fields=update_fields)
    except IntegrityError as error:
        if "inbox_phone_number_once" in str(error):
            raise DuplicateNumber from error
        raise

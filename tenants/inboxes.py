"""Where customers write to: inboxes are opened, renamed, given another number. None is deleted: conversations happened there."""

from typing import Any

from convalloc import phones
from convalloc.errors import Missing
from tenants import eventlog
from tenants.errors import BadNumber
from tenants.models import Inbox

FACTS = ("name", "phone_number", "grace_period_minutes")


def open_inbox(name: str, phone_number: str, grace_period_minutes: int | None = None) -> Inbox:
    """A new inbox of the bound tenant; its number is kept as E.164, however it is spelled. Raises BadNumber.

    The database refuses a number that another inbox has (DuplicateNumber).
    """
    inbox = Inbox(name=name, phone_number=_number(phone_number), grace_period_minutes=grace_period_minutes)
    inbox.save(force_insert=True)
    eventlog.append("inbox.created", inbox, after={name: getattr(inbox, name) for name in FACTS})
    return inbox


def change(inbox_id: int, **wished: Any) -> Inbox:
    """Another name, number or time of grace (periods that run keep their end); what is not named stays.

    Raises Missing; a bad or a taken number as `open_inbox`.
    """
    inbox = Inbox.objects.select_for_update(no_key=True).filter(pk=inbox_id).first()
    if inbox is None:
        raise Missing(what="Inbox", sought=[inbox_id])
    if wished.get("phone_number", inbox.phone_number) != inbox.phone_number:  # an old spelling may stay
        wished["phone_number"] = _number(wished["phone_number"])
    before = {name: getattr(inbox, name) for name in FACTS if getattr(inbox, name) != wished.get(name, getattr(inbox, name))}
    if not before:
        return inbox
    for name in before:
        setattr(inbox, name, wished[name])
    inbox.save(update_fields=list(before))
    eventlog.append("inbox.changed", inbox, before=before, after={name: wished[name] for name in before})
    return inbox


def _number(spelled: str) -> str:
    try:
        return phones.e164(spelled)
    except phones.NotANumber as problem:
        raise BadNumber(fields={"phone_number": BadNumber.told}) from problem

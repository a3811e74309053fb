"""The vocabulary of an inbox: words are added, changed, retired. Which conversations wear them is a floor above.

Whoever puts a word on something holds its lock, and so does whoever retires it: nothing ever wears a word that is gone.
"""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Q

from convalloc import clock
from convalloc.errors import Missing
from convalloc.preconditions import refuse_changed
from labels.errors import DuplicateLabel
from labels.models import Label
from operators.models import Operator
from tenants import eventlog
from tenants.models import Inbox


def find(label_id: int) -> Label:
    """A label of the bound tenant. Raises Missing."""
    label = Label.objects.filter(pk=label_id).first()
    if label is None:
        raise Missing(what="Label", sought=[label_id])
    return label


def lock(label_id: int) -> Label:
    """A label of the bound tenant, locked, as it is now. It comes after conversations in the order of locks. Raises Missing."""
    label = Label.objects.select_for_update(no_key=True).filter(pk=label_id).first()
    if label is None:
        raise Missing(what="Label", sought=[label_id])
    return label


def lock_with_namesakes(label_ids: Iterable[int], inbox_id: int) -> list[Label]:
    """These labels, and those of the same names in an inbox, locked by ascending id."""
    names = Label.objects.filter(pk__in=list(label_ids)).values("name")
    wanted = Q(pk__in=list(label_ids)) | Q(inbox_id=inbox_id, name__in=names)
    return list(Label.objects.select_for_update(no_key=True).filter(wanted).order_by("pk"))


def add(inbox: Inbox, name: str, color: str, *, created_by: Operator) -> Label:
    """A new word for an inbox. Raises DuplicateLabel."""
    label = Label(inbox=inbox, name=name, color=color, created_by=created_by)
    _save(label)
    label.refresh_from_db()
    eventlog.append("label.created", label, after={"inbox_id": inbox.pk, "name": name, "color": color})
    return label


def change(label_id: int, *, name: str | None = None, color: str | None = None) -> Label:
    """Another name or colour for a word; None keeps what is. Raises Missing, Changed, DuplicateLabel."""
    label = lock(label_id)
    refuse_changed(label.version)
    wished = {"name": label.name if name is None else name, "color": label.color if color is None else color}
    before = {field: getattr(label, field) for field in wished if getattr(label, field) != wished[field]}
    if not before:
        return label
    label.name, label.color, label.updated_at = wished["name"], wished["color"], clock.now()
    label.version += 1
    _save(label, update_fields=["name", "color", "updated_at", "version"])
    eventlog.append("label.changed", label, before=before, after={field: wished[field] for field in before})
    return label


def retire(label: Label) -> None:
    """Remove a word that nothing wears any more. Under its lock."""
    before = {"inbox_id": label.inbox_id, "name": label.name, "color": label.color}
    eventlog.append("label.deleted", label, before=before)
    label.delete()


def _save(label: Label, update_fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():  # a savepoint: after a refusal the transaction goes on
            label.save(update_fields=update_fields)
    except IntegrityError as error:
        if "label_name_once_per_inbox" in str(error):
            raise DuplicateLabel from error
        raise

"""The ground: a tenant's vocabulary, inbox by inbox."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from operators.models import Operator
from tenants.models import Inbox, OwnedForeignKey, TenantOwned, Whereabouts


class Label(TenantOwned):
    """A word that the people of one inbox put on conversations."""

    inbox = OwnedForeignKey(Inbox)
    name = models.CharField(max_length=100)
    color = models.CharField(max_length=7)
    created_by = OwnedForeignKey(Operator)
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)  # counts its changes
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "labels"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "inbox", "name"], name="label_name_once_per_inbox"),
            # What conversation_labels refers to, so that a label can only sit on a conversation of its own inbox.
            models.UniqueConstraint(fields=["tenant", "inbox", "id"], name="label_in_inbox"),
            models.CheckConstraint(name="label_color_is_rrggbb", condition=Q(color__regex=r"^#[0-9A-Fa-f]{6}$")),
            models.CheckConstraint(name="label_has_a_name", condition=~Q(name="")),
        ]
        indexes = [models.Index(fields=["id"], name="label_by_id")]  # tenant_of_label

    def __str__(self) -> str:
        return self.name

    def whereabouts(self) -> Whereabouts:
        return Whereabouts(inbox_id=self.inbox_id)

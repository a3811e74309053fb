"""How this floor refuses."""

from convalloc.errors import DomainError, violates


@violates("label_name_once_per_inbox")
class DuplicateLabel(DomainError):
    """A label with this name already exists in this inbox"""

    code = "duplicate_label"

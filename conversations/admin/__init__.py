"""The console's pages of everything whose change moves work: conversations, people, labels, and the history of all.

Like conversations/api, this door stands on the highest floor because its acts join the floors: closing an account
starts grace periods, retiring a label takes it off conversations.
"""

from conversations.admin import conversations, history, labels, people

__all__ = ["conversations", "history", "labels", "people"]

"""The console's pages of everything whose change moves work: conversations, people, labels, the organisation, and the history of all.

Like conversations/api, this door stands on the highest floor because its acts join the floors: closing an account
starts grace periods, retiring a label takes it off conversations, a new limit waits for the hand-outs under way.
"""

from conversations.admin import conversations, grace_periods, history, labels, organisation, people

__all__ = ["conversations", "grace_periods", "history", "labels", "organisation", "people"]

"""How this floor refuses."""

from convalloc.errors import DomainError, Invalid, Kind, violates


@violates("inbox_phone_number_once")
class DuplicateNumber(DomainError):
    """An inbox with this phone number already exists"""

    code = "duplicate_number"


class BadNumber(Invalid):
    """Validation failed"""

    told = '"phone_number" must be a phone number with its country\'s code, such as +12025550123'


class RankingRuns(DomainError):
    """The queue is being ranked anew already: {done} of {total} conversations are done"""

    code = "ranking_runs"


class BadSetting(Invalid):
    """Validation failed"""

    code = "bad_setting"


class BadPosition(Invalid):
    """Validation failed"""

    told = '"after" must be a position that the log gave: next_after of a page, or position of an event'


class PositionExpired(DomainError):
    """The log is not kept as far back as this position: go on from {kept_from}, and fetch anew what you keep a copy of"""

    kind = Kind.GONE
    code = "position_expired"


class BadUrl(Invalid):
    """Validation failed"""

    told = '"url" must be a URL such as https://crm.example.com/events'


class EnoughWebhooks(DomainError):
    """This organisation has {limit} webhooks already: delete one first"""

    code = "enough_webhooks"


class WebhookStopped(DomainError):
    """This webhook is stopped: enable it first"""

    code = "webhook_stopped"

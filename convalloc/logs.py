"""What a line of the log may not hold, whoever writes it: customers' phone numbers.

The record itself is discreet. A filter would have to be hung on every handler, and the one that somebody adds later, or that
Celery brings along, would not have it. A trace of an exception is masked too: PostgreSQL's errors quote the row.
"""

import logging
import logging.config
from typing import Any

from convalloc import phones


class DiscreetRecord(logging.LogRecord):
    """A line of the log in which phone numbers are masked, with its trace and its stack."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info:
            self.exc_text = phones.masked(logging.Formatter().formatException(self.exc_info))  # formatters take it from here
        if self.stack_info:
            self.stack_info = phones.masked(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802  logging's name
        """As any record's, masked."""
        return phones.masked(super().getMessage())


def configure(wanted: dict[str, Any]) -> None:
    """settings.LOGGING_CONFIG: in every process, from its first line on."""
    logging.setLogRecordFactory(DiscreetRecord)
    logging.config.dictConfig(wanted)

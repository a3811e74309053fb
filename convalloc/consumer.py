"""A worker's line to its broker, which outlives a broker that dies while the worker has a message in hand."""

from typing import Any

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """Celery's own, but for one step of what it does when the line is lost (CELERY_WORKER_CONSUMER)."""

    task_consumer: Any

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Forget the question that was on the line: nobody is left to answer it, and closing must not wait for that.

        Celery 5.7.0 closes the line twice, since the first time kombu's channel stops half-way when it reads the answer to its
        BRPOP; the second time it would put the messages in hand back over a line that has lost its address. The worker ends of
        that with an AttributeError, "Unrecoverable error". A bell that was in the answer is lost; the next tick rings again.
        """
        if self.task_consumer is not None:
            self.task_consumer.channel._in_poll = None
        super().on_connection_error_after_connected(exc)

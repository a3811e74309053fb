from django.apps import AppConfig


class ConvallocConfig(AppConfig):
    name = "convalloc"

    def ready(self) -> None:
        """In every process: a task that is sent without our Celery app goes to Celery's default broker, not to ours."""
        from convalloc import celery as celery  # not above: the registry of apps comes first

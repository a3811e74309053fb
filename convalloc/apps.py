from django.apps import AppConfig


class ConvallocConfig(AppConfig):
    name = "convalloc"

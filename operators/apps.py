from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OperatorsConfig(AppConfig):
    name = "operators"


class ConsoleConfig(admin.AdminConfig):
    """django.contrib.admin, with our site as its site."""

    default = False
    default_site = "operators.console.Console"

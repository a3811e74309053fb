from django.apps import AppConfig
from django.db.models.signals import post_migrate

from tenants import walls


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from tenants import checks  # noqa: F401  registers the system checks; the models must be loaded first

        post_migrate.connect(walls.open_doors, sender=self, dispatch_uid="runtime role's grants")

"""A history of presence. It begins with the status that everybody has now, since they have it."""

import django.db.models.deletion
import tenants.models
from django.conf import settings
from django.db import migrations, models
from tenants import walls

# Row level security binds the owner too, and no tenant is bound here.
TABLES = ("operator_status", "presence_periods")
BEYOND_THE_WALL = [f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table in TABLES]
BEHIND_THE_WALL = [f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in TABLES]
FILL = """
INSERT INTO presence_periods (tenant_id, operator_id, status, reason, started_at)
SELECT tenant_id, operator_id, status, '', last_status_change_at FROM operator_status
"""


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0004_no_index_without_a_query"),
    ]

    operations = [
        migrations.CreateModel(
            name="PresencePeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("status", models.TextField(choices=[("AVAILABLE", "Available"), ("AWAY", "Away"), ("OFFLINE", "Offline")])),
                ("reason", models.TextField(blank=True, default="")),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "actor",
                    tenants.models.OwnedForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "operator",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "presence_periods",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [models.Index(fields=["tenant", "operator", "started_at"], name="presence_by_operator")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)), fields=("tenant", "operator"), name="one_open_presence_period"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["AVAILABLE", "AWAY", "OFFLINE"])), name="presence_known_status"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ended_at__isnull", True), ("ended_at__gte", models.F("started_at")), _connector="OR"),
                        name="presence_runs_forward",
                    ),
                ],
            },
        ),
        walls.Raise("PresencePeriod"),
        migrations.RunSQL([*BEYOND_THE_WALL, FILL, *BEHIND_THE_WALL], reverse_sql=migrations.RunSQL.noop),
    ]

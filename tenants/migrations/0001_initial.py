import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import tenants.models
from django.db import migrations, models
from tenants import walls


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                (
                    "priority_alpha",
                    models.DecimalField(
                        decimal_places=4,
                        default=tenants.models._alpha,
                        max_digits=7,
                        validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                (
                    "priority_beta",
                    models.DecimalField(
                        decimal_places=4,
                        default=tenants.models._beta,
                        max_digits=7,
                        validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                (
                    "message_cap",
                    models.PositiveIntegerField(
                        default=100,
                        validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000)],
                    ),
                ),
                (
                    "delay_cap_minutes",
                    models.PositiveIntegerField(
                        default=1440,
                        validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(43200)],
                    ),
                ),
                (
                    "waiting_clock",
                    models.TextField(
                        choices=[("last_message_at", "since the last message"), ("waiting_since", "since the first unanswered message")],
                        default="last_message_at",
                    ),
                ),
                (
                    "grace_period_minutes",
                    models.PositiveIntegerField(
                        default=tenants.models._grace,
                        validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10080)],
                    ),
                ),
                ("weights_version", models.PositiveIntegerField(default=1, editable=False)),
                ("ranked_version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                "db_table": "tenants",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("priority_alpha__range", (0, 100)), ("priority_beta__range", (0, 100))),
                        name="tenant_weights_are_sane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("priority_alpha__gt", 0), ("priority_beta__gt", 0), _connector="OR"),
                        name="tenant_weights_order_something",
                    ),
                    models.CheckConstraint(condition=models.Q(("message_cap__range", (1, 1000000))), name="tenant_message_cap_range"),
                    models.CheckConstraint(condition=models.Q(("delay_cap_minutes__range", (1, 43200))), name="tenant_delay_cap_range"),
                    models.CheckConstraint(condition=models.Q(("grace_period_minutes__range", (1, 10080))), name="tenant_grace_range"),
                    models.CheckConstraint(
                        condition=models.Q(("waiting_clock__in", ["last_message_at", "waiting_since"])), name="tenant_known_clock"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Inbox",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("phone_number", models.TextField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "inboxes",
                "db_table": "inboxes",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("tenant", "phone_number"), name="inbox_phone_number_once")],
            },
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "transaction",
                    models.BigIntegerField(
                        db_default=django.db.models.functions.comparison.Cast(
                            django.db.models.functions.comparison.Cast(models.Func(function="pg_current_xact_id"), models.TextField()),
                            models.BigIntegerField(),
                        )
                    ),
                ),
                ("kind", models.TextField()),
                ("subject_type", models.TextField()),
                ("subject_id", models.BigIntegerField()),
                ("actor_id", models.BigIntegerField(null=True)),
                ("cause", models.TextField(blank=True, default="")),
                ("before", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("after", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("request_id", models.TextField(blank=True, default="")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "events",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["tenant", "transaction", "id"], name="event_position"),
                    models.Index(fields=["tenant", "subject_type", "subject_id", "id"], name="event_timeline"),
                ],
            },
        ),
        walls.Raise("Tenant", tenant_column="id"),
        walls.Raise("Inbox"),
        walls.Raise("Event"),
        # Home of the platform's superusers; see docs/decisions/0002. The policy binds the owner too.
        migrations.RunSQL(
            "SET LOCAL app.tenant_id = '0';"
            "INSERT INTO tenants (id, name, priority_alpha, priority_beta, message_cap, delay_cap_minutes, waiting_clock,"
            " grace_period_minutes, weights_version, ranked_version)"
            " VALUES (0, 'Platform', 0.4, 0.6, 100, 1440, 'last_message_at', 15, 1, 1);"
            "SET LOCAL app.tenant_id = '';",
            reverse_sql=migrations.RunSQL.noop,  # the row goes with its table; a DELETE's pending checks would hold up the rest
        ),
        # What must be known before a tenant is bound goes through narrow functions of the owner that return ids only.
        walls.Lookup("all_tenants()", returns="SETOF bigint", reads="tenants", body="SELECT id FROM tenants WHERE id > 0 ORDER BY id"),
    ]

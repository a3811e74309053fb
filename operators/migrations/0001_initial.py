import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import tenants.models
from django.conf import settings
from django.db import migrations, models
from tenants import walls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Operator",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("name", models.TextField(blank=True, default="")),
                (
                    "role",
                    models.TextField(choices=[("OPERATOR", "Operator"), ("MANAGER", "Manager"), ("ADMIN", "Admin")], default="OPERATOR"),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "operators",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="OperatorStatus",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.TextField(choices=[("AVAILABLE", "Available"), ("AWAY", "Away"), ("OFFLINE", "Offline")], default="OFFLINE"),
                ),
                ("last_status_change_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
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
                "verbose_name_plural": "operator statuses",
                "db_table": "operator_status",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "inbox",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.inbox",
                    ),
                ),
                (
                    "operator",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
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
                "db_table": "operator_inbox_subscriptions",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.UniqueConstraint(fields=("id",), name="operator_id_alone"),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["OPERATOR", "MANAGER", "ADMIN"])), name="operator_known_role"
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("email", django.db.models.functions.text.Lower("email"))), name="operator_email_lower_case"
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("tenant_id", 0), _negated=True), ("role", "ADMIN"), _connector="OR"),
                name="operator_of_platform_is_admin",
            ),
        ),
        migrations.AddConstraint(
            model_name="operatorstatus",
            constraint=models.UniqueConstraint(fields=("tenant", "operator"), name="one_status_per_operator"),
        ),
        migrations.AddConstraint(
            model_name="operatorstatus",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["AVAILABLE", "AWAY", "OFFLINE"])), name="operator_known_status"
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(fields=["tenant", "inbox"], name="subscription_by_inbox"),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(fields=("tenant", "operator", "inbox"), name="subscription_once"),
        ),
        walls.Raise("Operator"),
        walls.Raise("OperatorStatus"),
        walls.Raise("Subscription"),
        walls.Lookup(
            "tenant_of_operator(operator_id bigint)",
            returns="bigint",
            reads="operators",
            body="SELECT tenant_id FROM operators WHERE id = operator_id",
        ),
        walls.Lookup(
            "operator_of_email(address text)",
            returns="bigint",
            reads="operators",
            body="SELECT id FROM operators WHERE email = address",
        ),
    ]

import django.core.validators
from django.db import migrations, models
from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0010_whose_is_it"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="resolved_conversations_days",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3650)],
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("resolved_conversations_days__isnull", True), ("resolved_conversations_days__range", (1, 3650)), _connector="OR"
                ),
                name="tenant_retention_range",
            ),
        ),
        walls.Lookup(
            "tenants_with_retention()",
            returns="SETOF bigint",
            reads="tenants",
            body="SELECT id FROM tenants WHERE resolved_conversations_days IS NOT NULL ORDER BY id",
        ),
    ]

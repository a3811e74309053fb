import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="cooldown_minutes",
            field=models.PositiveIntegerField(default=5, validators=[django.core.validators.MaxValueValidator(1440)]),
        ),
        migrations.AddField(
            model_name="tenant",
            name="operator_capacity",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10000)],
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("operator_capacity__isnull", True), ("operator_capacity__range", (1, 10000)), _connector="OR"),
                name="tenant_capacity_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(condition=models.Q(("cooldown_minutes__range", (0, 1440))), name="tenant_cooldown_range"),
        ),
    ]

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0002_wall_around_the_console_log"),
        ("tenants", "0002_capacity"),
    ]

    operations = [
        migrations.AddField(
            model_name="operator",
            name="capacity",
            field=models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(10000)]),
        ),
        migrations.AddField(
            model_name="subscription",
            name="capacity",
            field=models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(10000)]),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("capacity__isnull", True), ("capacity__range", (0, 10000)), _connector="OR"),
                name="operator_capacity_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("capacity__isnull", True), ("capacity__range", (0, 10000)), _connector="OR"),
                name="subscription_capacity_range",
            ),
        ),
    ]

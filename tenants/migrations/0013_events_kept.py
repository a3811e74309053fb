import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0012_whereabouts_of_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="events_kept_days",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(7), django.core.validators.MaxValueValidator(3650)],
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="forgotten_transaction",
            field=models.BigIntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="forgotten_id",
            field=models.BigIntegerField(db_default=0, editable=False),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("events_kept_days__isnull", True), ("events_kept_days__range", (7, 3650)), _connector="OR"),
                name="tenant_events_kept_range",
            ),
        ),
    ]

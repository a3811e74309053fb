"""What a caller can say that they have seen: the versions of rows that the API lets them change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0013_idempotency_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="operator",
            name="limits_version",
            field=models.PositiveIntegerField(db_default=1, default=1, editable=False),
        ),
        migrations.AddField(
            model_name="operatorstatus",
            name="version",
            field=models.PositiveIntegerField(db_default=1, default=1, editable=False),
        ),
    ]

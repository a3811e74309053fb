"""What a caller can say that they have seen: the versions of rows that the API lets them change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0013_events_kept"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="settings_version",
            field=models.PositiveIntegerField(db_default=1, default=1, editable=False),
        ),
    ]

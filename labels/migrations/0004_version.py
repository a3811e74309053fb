"""What a caller can say that they have seen: the versions of rows that the API lets them change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labels", "0003_whose_is_it"),
    ]

    operations = [
        migrations.AddField(
            model_name="label",
            name="version",
            field=models.PositiveIntegerField(db_default=1, default=1, editable=False),
        ),
    ]

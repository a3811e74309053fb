from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0003_indexes_for_walks_of_any_depth"),
        ("tenants", "0003_ranking_progress"),
    ]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="ranked_under",
            field=models.IntegerField(db_default=1),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(condition=models.Q(("state", "QUEUED")), fields=["tenant", "ranked_under"], name="queue_by_weights"),
        ),
    ]

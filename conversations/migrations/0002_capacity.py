from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0001_initial"),
        ("tenants", "0002_capacity"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="assignment",
            name="assignment_ends_with_a_reason",
        ),
        migrations.AlterField(
            model_name="assignment",
            name="end_reason",
            field=models.TextField(
                blank=True,
                choices=[
                    ("resolved", "Resolved"),
                    ("reassigned", "Reassigned"),
                    ("deallocated", "Deallocated"),
                    ("released", "Released"),
                    ("moved", "Moved"),
                    ("grace_expired", "Grace Expired"),
                ],
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("end_reason__isnull", True), ("ended_at__isnull", True)),
                    models.Q(
                        ("end_reason__in", ("resolved", "reassigned", "deallocated", "released", "moved", "grace_expired")),
                        ("end_reason__isnull", False),
                        ("ended_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="assignment_ends_with_a_reason",
            ),
        ),
    ]

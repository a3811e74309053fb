"""Django's own log of the console has no tenant column: a row belongs where the operator who did it belongs.

Without this, one tenant's managers could read what another's did, as far as SQL goes.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE django_admin_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            # The inner SELECT is bound by the wall around operators, and so finds the bound tenant's alone.
            "CREATE POLICY tenant_wall ON django_admin_log"
            " USING (user_id IN (SELECT id FROM operators)) WITH CHECK (user_id IN (SELECT id FROM operators))",
            reverse_sql="DROP POLICY tenant_wall ON django_admin_log;"
            "ALTER TABLE django_admin_log NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY",
        ),
    ]

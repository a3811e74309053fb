"""How the tables of a queue are kept: much is written just where the next pick looks, so the vacuum comes early.

A tenth of each page of conversations stays free, so that a row which changes hands stays on its page. Measured by
`make bench` (docs/benchmarks.md): PostgreSQL's own settings would wait until a fifth of the table is dead.
"""

from django.db import migrations

# Dead rows until the vacuum comes: a thousand, and one in fifty of the table; changed rows until the statistics are renewed.
SETTINGS = {
    "conversations": {
        "fillfactor": 90,
        "autovacuum_vacuum_threshold": 1000,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_insert_scale_factor": 0.05,
        "autovacuum_analyze_scale_factor": 0.02,
    },
    "assignments": {"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05},
    "grace_period_assignments": {"fillfactor": 90, "autovacuum_vacuum_threshold": 500, "autovacuum_vacuum_scale_factor": 0.05},
}


def kept(table: str, settings: dict[str, float]) -> migrations.RunSQL:
    """The settings of one table, there and back."""
    values = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return migrations.RunSQL(f"ALTER TABLE {table} SET ({values})", f"ALTER TABLE {table} RESET ({', '.join(settings)})")


class Migration(migrations.Migration):
    dependencies = [("conversations", "0004_ranked_under")]

    operations = [kept(table, settings) for table, settings in SETTINGS.items()]

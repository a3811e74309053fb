"""What a live client may follow in the database itself: a publication of few columns, and policies for those who bring a JWT.

Supabase's Realtime reads the publication `supabase_realtime` and asks, as the role of the token, whether that role may read what
it is about to tell. PostgREST asks as the same role. So the role gets what is published and nothing besides, and of that
its own tenant's. Sources: PostgreSQL's documentation, Logical Replication (column lists, replica identity) and Row Security Policies;
Supabase's, Realtime's Postgres Changes.

In this file alone the schema is changed outside a migration: who does not use it should not have it.
"""

from collections.abc import Collection, Iterator
from typing import Any, LiteralString, NamedTuple

from django.apps import apps
from django.db import connections, transaction
from psycopg import sql

from conversations.models import Conversation, ConversationLabel, GracePeriod
from labels.models import Label
from operators.models import OperatorStatus
from tenants.walls import READ_ONLY

PUBLICATION = "supabase_realtime"
READER, ANYBODY = "authenticated", "anon"  # Supabase's roles for requests with a user's token, and without one
POLICY, LIMIT = "live_reader", "live_reader_only"
# No names, numbers and ids that customers or others made up, and nothing that follows from time.
FOLLOWED = {
    Conversation._meta.db_table: (
        "tenant_id", "id", "inbox_id", "state", "assigned_operator_id", "message_count", "last_message_at", "waiting_since", "episode",
        "version", "created_at", "updated_at", "resolved_at",
    ),
    GracePeriod._meta.db_table: (
        "tenant_id", "id", "conversation_id", "operator_id", "assignment_id", "opened_at", "expires_at", "ended_at", "end_reason",
    ),
    ConversationLabel._meta.db_table: ("tenant_id", "id", "conversation_id", "label_id", "inbox_id", "created_at"),
    Label._meta.db_table: ("tenant_id", "id", "inbox_id", "name", "color", "version"),
    OperatorStatus._meta.db_table: ("tenant_id", "id", "operator_id", "status", "last_status_change_at", "version"),
}  # fmt: skip
# A user of Supabase can write their `user_metadata` themselves: it is not asked. What is no number is nobody's claim, and no error,
# which would tell that there is something to read.
CLAIM = """
    CREATE FUNCTION claimed_tenant() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
    DECLARE claims jsonb;
    BEGIN
        claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
        RETURN coalesce(claims ->> 'tenant_id', claims -> 'app_metadata' ->> 'tenant_id')::bigint;
    EXCEPTION WHEN data_exception THEN
        RETURN NULL;
    END $$
"""
OWN = "tenant_id = (SELECT claimed_tenant())"
Step = sql.Composed


class NotPublished(Exception):
    """It cannot be done like this; the text says what to do."""


class Outcome(NamedTuple):
    """The statements that ran, or would have run, and what the system's owner should know."""

    steps: list[str]
    warnings: list[str]


def publish(reader: str = READER, *, dry_run: bool = False) -> Outcome:
    """Let `reader` follow what may be followed, and read nothing else of ours; without effect where all of it is so already.

    As the owner of the tables, in one transaction, which waits four seconds at most for a table. Raises NotPublished.
    """
    return _carried_out(lambda cursor: _towards(cursor, reader), dry_run=dry_run)


def withdraw(reader: str = READER, *, dry_run: bool = False) -> Outcome:
    """Take all of it back. The publication stays, and what others have put into it. Raises NotPublished."""
    return _carried_out(lambda cursor: _back(cursor, reader), dry_run=dry_run)


def _carried_out(plan: Any, *, dry_run: bool) -> Outcome:
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '4s'")
        ran = []
        for step in plan(cursor):
            cursor.execute(step)
            ran.append(step.as_string(cursor.connection))
        warnings = list(_warnings(cursor))
        transaction.set_rollback(dry_run, using="owner")
    return Outcome(ran, warnings)


def _towards(cursor: Any, reader: str) -> Iterator[Step]:
    """What is missing, step by step; each is looked for when those before it are done."""
    _refuse_unfit(cursor, reader)
    if not _found(cursor, "SELECT FROM pg_publication WHERE pubname = %s", [PUBLICATION]):
        yield _say("CREATE PUBLICATION {}", PUBLICATION)
    if not _found(cursor, "SELECT FROM pg_proc WHERE proname = 'claimed_tenant' AND pronamespace = 'public'::regnamespace"):
        yield sql.Composed([sql.SQL(CLAIM)])
        yield sql.Composed([sql.SQL("REVOKE ALL ON FUNCTION claimed_tenant() FROM PUBLIC")])
    yield from _rights(cursor, reader)
    for table, columns in FOLLOWED.items():
        yield from _walls(cursor, table, reader)
        yield from _identity(cursor, table)
        yield from _member(cursor, table, columns)


def _back(cursor: Any, reader: str) -> Iterator[Step]:
    published = _published(cursor)
    for table in FOLLOWED:
        if table in published:
            yield _say("ALTER PUBLICATION {} DROP TABLE {}", PUBLICATION, table)
        for policy in (POLICY, LIMIT):
            if _has_policy(cursor, table, policy):
                yield _say("DROP POLICY {} ON {}", policy, table)
    if _found(cursor, "SELECT FROM pg_roles WHERE rolname = %s", [reader]) and _reads(cursor, reader):
        yield _say("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", reader)
    if _found(cursor, "SELECT FROM pg_proc WHERE proname = 'claimed_tenant' AND pronamespace = 'public'::regnamespace"):
        yield sql.Composed([sql.SQL("DROP FUNCTION claimed_tenant()")])


def _refuse_unfit(cursor: Any, reader: str) -> None:
    """Who cannot be the reader, and what publishes too much whatever is done here."""
    cursor.execute("SELECT rolsuper OR rolbypassrls, pg_has_role(oid, current_user, 'USAGE') FROM pg_roles WHERE rolname = %s", [reader])
    role = cursor.fetchone()
    if role is None:
        raise NotPublished(f'There is no role "{reader}". Supabase has it; elsewhere a superuser says: CREATE ROLE {reader} NOLOGIN')
    if any(role):
        raise NotPublished(f'No policy would bind the role "{reader}": it is a superuser, has BYPASSRLS, or is the owner of the tables.')
    if _found(cursor, "SELECT FROM pg_publication WHERE pubname = %s AND puballtables", [PUBLICATION]):
        raise NotPublished(
            f"{PUBLICATION} is FOR ALL TABLES, and tells every customer's number: DROP PUBLICATION {PUBLICATION}, then run this again."
        )


def _rights(cursor: Any, reader: str) -> Iterator[Step]:
    """Supabase grants whatever is made in `public` to its roles: for us that is too much, now and for tables to come."""
    for role in (reader, ANYBODY):
        if not _found(cursor, "SELECT FROM pg_roles WHERE rolname = %s", [role]):
            continue
        meant = {(table, column) for table, columns in FOLLOWED.items() for column in columns} if role == reader else set()
        if _reads(cursor, role) != meant or _writes(cursor, role):
            yield _say("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", role)
            yield _say("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {}", role)
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
                yield _say(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON {kind} FROM {{}}", role)
            for table, columns in FOLLOWED.items() if role == reader else ():
                listed = sql.SQL(", ").join(map(sql.Identifier, columns))
                yield sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(listed, sql.Identifier(table), sql.Identifier(role))
    if not _found(
        cursor, "SELECT WHERE has_function_privilege(%s, 'claimed_tenant()', 'EXECUTE') AND has_schema_privilege(%s, 'public', 'USAGE')",
        [reader, reader],
    ):  # fmt: skip
        yield _say("GRANT USAGE ON SCHEMA public TO {}", reader)
        yield _say("GRANT EXECUTE ON FUNCTION claimed_tenant() TO {}", reader)


def _walls(cursor: Any, table: str, reader: str) -> Iterator[Step]:
    """The first lets their own tenant's rows be seen. Policies add up: the second keeps the wall's own from letting them see another's."""
    for policy, manner in ((POLICY, "PERMISSIVE"), (LIMIT, "RESTRICTIVE")):
        if not _has_policy(cursor, table, policy):
            yield _say(f"CREATE POLICY {{}} ON {{}} AS {manner} FOR SELECT TO {{}} USING ({OWN})", policy, table, reader)


def _identity(cursor: Any, table: str) -> Iterator[Step]:
    """What stands for a row that is gone is its key, (tenant_id, id). FULL would tell all of it, and columns refuse it besides."""
    if not _found(cursor, "SELECT FROM pg_class WHERE oid = %s::regclass AND relreplident = 'd'", [table]):
        yield _say("ALTER TABLE {} REPLICA IDENTITY DEFAULT", table)


def _member(cursor: Any, table: str, columns: Collection[str]) -> Iterator[Step]:
    published = _published(cursor).get(table)
    if published == set(columns):
        return
    if published is not None:
        yield _say("ALTER PUBLICATION {} DROP TABLE {}", PUBLICATION, table)
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    yield sql.SQL("ALTER PUBLICATION {} ADD TABLE {} ({})").format(sql.Identifier(PUBLICATION), sql.Identifier(table), listed)


def _warnings(cursor: Any) -> Iterator[str]:
    cursor.execute("SHOW wal_level")
    if cursor.fetchone() != ("logical",):
        yield "wal_level is not logical: nobody can follow before the server is restarted with it (Supabase has it)."
    if others := sorted((_published(cursor).keys() & _ours()) - FOLLOWED.keys()):
        yield f"{PUBLICATION} also tells {', '.join(others)}, which this command did not put there."


def _ours() -> set[str]:
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)} | READ_ONLY


def _published(cursor: Any) -> dict[str, set[str]]:
    """Columns by table."""
    cursor.execute("SELECT tablename, attnames FROM pg_publication_tables WHERE pubname = %s AND schemaname = 'public'", [PUBLICATION])
    return {table: set(columns) for table, columns in cursor.fetchall()}


def _has_policy(cursor: Any, table: str, policy: str) -> bool:
    return _found(cursor, "SELECT FROM pg_policy WHERE polrelid = %s::regclass AND polname = %s", [table, policy])


def _reads(cursor: Any, role: str) -> set[tuple[str, str]]:
    """What a role can read of our tables: (table, column)."""
    cursor.execute(
        """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)
              AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')""",
        [list(_ours()), role],
    )
    return set(cursor.fetchall())


def _writes(cursor: Any, role: str) -> bool:
    return _found(
        cursor,
        """SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)
              AND has_table_privilege(%s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')""",
        [list(_ours()), role],
    )


def _found(cursor: Any, question: LiteralString, parameters: list[Any] | None = None) -> bool:
    cursor.execute(question, parameters)
    return cursor.fetchone() is not None


def _say(statement: str, *names: str) -> Step:
    return sql.SQL(statement).format(*map(sql.Identifier, names))

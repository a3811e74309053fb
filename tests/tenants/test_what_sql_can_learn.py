"""What SQL in the API's name could learn past the tables: statistics, errors, plans, files, temporary tables, prepared statements."""

import os
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import errors

from convalloc import prepared
from operators.api.authentication import OF_ACCOUNT
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.servers import superuser
from tests.tenants.specimens import OWNED_TABLES, furnish
from tests.tenants.test_row_level_security import ask, refused

SECRET = "+4915777777007"
ENDS_OUTSIDE = {
    "a file of the server's, read": "SELECT pg_read_file('/etc/hostname')",
    "a folder of the server's": "SELECT pg_ls_dir('.')",
    "a file of the server's, as a table": "COPY labels (name) FROM '/etc/hostname'",
    "a file of the server's, written": "COPY (SELECT 1) TO '/tmp/out'",
    "a program": "COPY (SELECT 1) TO PROGRAM 'cat'",
    "a file of the server's, as a large object": "SELECT lo_import('/etc/hostname')",
    "every large object": "SELECT * FROM pg_largeobject",
    "the statistics, raw": "SELECT * FROM pg_statistic",
    "passwords": "SELECT rolpassword FROM pg_authid",
    "a function of one's own": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a view of one's own": "CREATE VIEW public.v AS SELECT * FROM conversations",
    "how many there are of all": "SELECT last_value FROM conversations_id_seq",
    "ids that others will want": "SELECT setval('conversations_id_seq', 1)",
    "a policy": "DROP POLICY tenant_wall ON conversations",
    "the wall": "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
    "a trigger": "CREATE TRIGGER t BEFORE INSERT ON labels FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a publication": "CREATE PUBLICATION p FOR TABLE conversations",
    "the write-ahead log": "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    "another's powers": "GRANT convalloc_owner TO convalloc_app",
    "a role": "CREATE ROLE somebody",
}


@pytest.mark.parametrize("aim", ENDS_OUTSIDE)
def test_sql_does_not_get_at(aim: str, house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        problem = refused(ENDS_OUTSIDE[aim])

    assert isinstance(problem, errors.InsufficientPrivilege | errors.FeatureNotSupported), problem


@pytest.fixture
def analysed(committed: None) -> tuple[Cast, Cast]:
    """A house and the one next door, whose customer has a number; the planner has looked at all of it."""
    ours, theirs = assemble(), assemble()
    for cast in (ours, theirs):
        furnish(cast)
    for _ in range(20):
        theirs.conversation(customer_phone_number=SECRET)
    with psycopg.connect(superuser(), autocommit=True) as postgres:
        postgres.execute("ANALYZE")
    return ours, theirs


def test_the_planners_statistics_which_quote_everybodys_values_are_seen_by_nobody(analysed: tuple[Cast, Cast]) -> None:
    ours, _ = analysed
    quoted = "SELECT count(*) FROM pg_stats WHERE tablename = ANY (%s) AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL)"

    with isolation.act_as(ours.tenant.pk):
        seen = [ask(quoted, OWNED_TABLES), ask("SELECT count(*) FROM pg_stats_ext")]

    assert seen == [[(0,)], [(0,)]]
    with psycopg.connect(superuser()) as postgres:  # the control: they are there
        (values,) = postgres.execute(
            "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'conversations' AND attname = 'customer_phone_number'"
        ).fetchone() or ("",)
    assert SECRET in values


TELL = """
    CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
        AS $$BEGIN RAISE NOTICE '%%', $1; RETURN true; END$$
"""
LEAKS = {
    "a count": "SELECT count(*) FROM conversations",
    "an error": "SELECT 1 / (CASE WHEN customer_phone_number = %(secret)s THEN 0 ELSE 1 END) FROM conversations",
    "an error's words": "SELECT FROM conversations WHERE customer_phone_number = %(secret)s AND (customer_phone_number || 'x')::bigint > 0",
    "a notice": "SELECT count(*) FROM conversations WHERE pg_temp.tell(customer_phone_number)",
    "an order": "SELECT customer_phone_number FROM conversations ORDER BY customer_phone_number = %(secret)s DESC LIMIT 1",
    "an aggregate": "SELECT string_agg(customer_phone_number, ',') FROM conversations",
    "a join": "SELECT c.customer_phone_number FROM operators o LEFT JOIN conversations c ON true GROUP BY 1 ORDER BY 1",
    "a lock": "SELECT count(*) FROM (SELECT FROM conversations WHERE customer_phone_number = %(secret)s FOR UPDATE) c",
    "a change": "WITH c AS (UPDATE conversations SET version = version WHERE customer_phone_number = %(secret)s RETURNING 1) TABLE c",
    "JSON": "SELECT json_agg(c)::text FROM conversations c",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_with_and_without_a_row_behind_the_wall_everything_is_the_same(leak: str, house: Cast, next_door: Cast) -> None:
    notices: list[str] = []
    connection.connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    ask_nothing(TELL)

    without = [told(cast, LEAKS[leak], notices) for cast in (house, next_door)]
    next_door.conversation(customer_phone_number=SECRET)
    with_it = [told(cast, LEAKS[leak], notices) for cast in (house, next_door)]

    assert with_it[0] == without[0]
    assert with_it[1] != without[1], "whose it is sees no difference either: this would prove nothing"


def ask_nothing(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {})


def told(cast: Cast, statement: str, notices: list[str]) -> tuple[Any, list[str]]:
    """All that a tenant's SQL is told: the rows or the error's own words, and the notices."""
    notices.clear()
    with isolation.act_as(cast.tenant.pk):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, {"secret": SECRET})
                return cursor.fetchall(), list(notices)
        except DatabaseError as problem:
            return str(problem), list(notices)


def test_a_plan_that_one_tenant_made_shows_the_next_one_its_own(house: Cast, next_door: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute("PREPARE everybody AS SELECT DISTINCT tenant_id FROM conversations", [])
    seen = []
    for cast in (house, next_door, house):
        with isolation.act_as(cast.tenant.pk):
            seen.append(ask("EXECUTE everybody"))

    assert seen == [[(house.tenant.pk,)], [(next_door.tenant.pk,)], [(house.tenant.pk,)]]
    assert ask("EXECUTE everybody") == []
    assert ask("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'everybody'") == [(4, 0)]


def test_the_statement_that_finds_the_caller_finds_nobody_of_another_tenant(house: Cast, next_door: Cast) -> None:
    both = [(bound, named) for bound in (house, next_door) for named in (house, next_door)]
    found = {}
    for bound, named in both * 2:  # the second time by a name and a plan that the session has
        with isolation.act_as(bound.tenant.pk):
            rows = prepared.rows(OF_ACCOUNT, {"tenant_id": named.tenant.pk, "operator_id": named.mia.pk})
        found[bound.tenant.pk, named.tenant.pk] = [row["id"] for row in rows]

    assert found == {(bound.tenant.pk, named.tenant.pk): [named.mia.pk] if bound is named else [] for bound, named in both}


def test_what_other_roles_run_is_not_shown(committed: None) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner, psycopg.connect(superuser()) as postgres:
        for session in (owner, postgres):
            session.execute(f"SELECT '{SECRET}'".encode())

        texts = ask("SELECT DISTINCT query FROM pg_stat_activity WHERE pid = ANY (%s)", [owner.info.backend_pid, postgres.info.backend_pid])

    assert texts == [("<insufficient privilege>",)]


def test_there_is_no_large_object_because_all_tenants_would_share_it(db: None) -> None:
    assert ask("SELECT oid FROM pg_largeobject_metadata") == []


@pytest.mark.parametrize("kind", ["conversation", "inbox", "label", "grace_period", "api_key", "operator", "signing_secret"])
def test_a_lookup_tells_whose_an_id_is_and_takes_none_of_another_kind(kind: str, house: Cast, next_door: Cast) -> None:
    table = {"grace_period": "grace_period_assignments", "inbox": "inboxes"}.get(kind, f"{kind}s")
    found = {}
    for cast in (house, next_door):
        with isolation.act_as(cast.tenant.pk):
            found[cast.tenant.pk] = ask(f"SELECT min(id) FROM {table}")[0][0]

    assert {tenant: ask(f"SELECT tenant_of_{kind}(%s)", id_) for tenant, id_ in found.items()} == {tenant: [(tenant,)] for tenant in found}
    assert ask(f"SELECT tenant_of_{kind}(%s)", 2**62) == [(None,)]

"""A customer can be forgotten, in the audit too: by two narrow functions of the owner. All else of the log stays append-only.

Both work within the bound tenant. `erase_words` takes the reasons that people gave from the timeline of conversations whose
customer is forgotten already. `erase_number` puts the stand-in where one telephone number stands in a text of the log.
Neither can add or remove an event, nor change what happened, when, to what, or by whom.
"""

from django.db import migrations, models

from tenants.walls import BOUND_TENANT

STOOD_IN = "'^[+]999[0-9]{12}$'"
# A number as people write it: with or without its country, with what they put between digits. NULL, where nothing is sought.
NUMBER_IN_TEXT = """
    CREATE FUNCTION number_in_text(country_code text, digits text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
        SELECT '(?<![0-9])(?:(?:(?:[+]|00|%2[Bb])[ (]{0,2})?' || array_to_string(string_to_array(country_code, NULL), gap) || gap || ')?(?:0' || gap
               || ')?' || array_to_string(string_to_array(digits, NULL), gap) || '(?![0-9])'
          FROM (VALUES ('[[:space:]()./-]{0,3}')) between_digits (gap)
         WHERE country_code ~ '^[0-9]{0,3}$' AND digits ~ '^[0-9]{7,15}$'
    $$"""
# Of an event's facts those that are texts; an instant is none, whatever digits it has.
WITHOUT_NUMBER = r"""
    CREATE FUNCTION without_number(facts jsonb, sought text, stand_in text) RETURNS jsonb LANGUAGE sql IMMUTABLE
        SET search_path = pg_catalog AS $$
        SELECT coalesce(jsonb_object_agg(key, CASE
                   WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T'
                   THEN to_jsonb(regexp_replace(value #>> '{}', sought, stand_in, 'g')) ELSE value END), '{}')
          FROM jsonb_each(facts)
    $$"""
# What the product says itself stays: why a grace period began and ended, a label's name, which contact an erasure was about.
ERASE_WORDS = f"""
    CREATE FUNCTION erase_words(conversation_ids bigint[]) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        WITH forgotten AS (
            SELECT id FROM conversations
             WHERE tenant_id = {BOUND_TENANT} AND id = ANY (conversation_ids) AND customer_phone_number ~ {STOOD_IN}
        ), told AS (
            SELECT 'conversation' AS subject_type, id AS subject_id FROM forgotten
            UNION ALL
            SELECT 'graceperiod', g.id FROM grace_period_assignments g JOIN forgotten f ON f.id = g.conversation_id
             WHERE g.tenant_id = {BOUND_TENANT}
        ), erased AS (
            UPDATE events e SET cause = CASE WHEN e.cause LIKE 'forced: %' THEN 'forced: erased' ELSE 'erased' END
              FROM told t
             WHERE e.tenant_id = {BOUND_TENANT} AND e.subject_type = t.subject_type AND e.subject_id = t.subject_id
               AND e.kind NOT IN ('conversation.labelled', 'conversation.unlabelled', 'conversation.erased',
                                  'grace.opened', 'grace.cancelled', 'grace.expired')
               AND e.cause NOT IN ('', 'grace_expired', 'account_closed', 'erased', 'forced: erased')
            RETURNING e.id
        )
        SELECT count(*) FROM erased
    $$"""
ERASE_NUMBER = f"""
    CREATE FUNCTION erase_number(country_code text, digits text, stand_in text, above bigint, upto bigint) RETURNS bigint
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        sought text := number_in_text(country_code, digits);
        touched bigint;
    BEGIN
        IF sought IS NULL OR stand_in !~ {STOOD_IN} THEN
            RETURN 0;
        END IF;
        WITH found AS (
            SELECT e.id, without_number(e.before, sought, stand_in) AS before, without_number(e.after, sought, stand_in) AS after
              FROM events e
             WHERE e.tenant_id = {BOUND_TENANT} AND e.id > above AND e.id <= upto
               -- Most rows have not even these digits one after the other, which is quicker seen than searched for.
               AND translate(concat(e.cause, ';', e.request_id, ';', e.before, ';', e.after), E' ()./-\\t\\n\\r', '') LIKE '%' || digits || '%'
               AND (e.cause ~ sought OR e.request_id ~ sought OR e.before::text ~ sought OR e.after::text ~ sought)
        )
        UPDATE events e SET before = f.before, after = f.after, cause = regexp_replace(e.cause, sought, stand_in, 'g'),
                            request_id = regexp_replace(e.request_id, sought, stand_in, 'g')
          FROM found f
         WHERE e.tenant_id = {BOUND_TENANT} AND e.id = f.id
           AND (e.cause ~ sought OR e.request_id ~ sought OR e.before <> f.before OR e.after <> f.after);
        GET DIAGNOSTICS touched = ROW_COUNT;
        RETURN touched;
    END
    $$"""
SIGNATURES = {
    "number_in_text(text, text)": NUMBER_IN_TEXT,
    "without_number(jsonb, text, text)": WITHOUT_NUMBER,
    "erase_words(bigint[])": ERASE_WORDS,
    "erase_number(text, text, text, bigint, bigint)": ERASE_NUMBER,
}


def function(signature: str, made: str) -> migrations.RunSQL:
    """There, for the runtime role alone (tenants.walls.open_doors), and back."""
    return migrations.RunSQL([made, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC"], reverse_sql=f"DROP FUNCTION {signature}")


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0007_whose_is_it"),
        ("tenants", "0011_retention"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("resolved_at__isnull", False), models.Q(("customer_phone_number__startswith", "+999"), _negated=True)),
                fields=["tenant", "resolved_at", "id"],
                name="resolved_and_not_erased",
            ),
        ),
        migrations.AddIndex(model_name="graceperiod", index=models.Index(fields=["tenant", "conversation"], name="grace_by_conversation")),
        *(function(signature, made) for signature, made in SIGNATURES.items()),
    ]

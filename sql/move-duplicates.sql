-- Needed only where sql/schema.sql says so: an older receiver stored redeliveries again.
-- Keeps the oldest row of each channel and event, the one whose id ModelRiver was told first, and
-- moves the others to ai_content_duplicates, each whole as JSON. Applying it again does no harm.

BEGIN;

SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;

CREATE TABLE IF NOT EXISTS public.ai_content_duplicates (
    moved_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    content  JSONB NOT NULL
);

WITH ranked AS (
    SELECT id, row_number() OVER (
        PARTITION BY channel_id, coalesce(event_name, '') ORDER BY created_at, id
    ) AS place
    FROM public.ai_content
    WHERE channel_id IS NOT NULL
), moved AS (
    DELETE FROM public.ai_content USING ranked
    WHERE ai_content.id = ranked.id AND ranked.place > 1
    RETURNING ai_content.*
)
INSERT INTO public.ai_content_duplicates (content) SELECT to_jsonb(moved) FROM moved;

COMMIT;

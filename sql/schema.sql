-- The table that AI results are kept in. Apply it once, over the direct connection:
--
--     psql "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/schema.sql
--
-- Applying it again changes nothing. Applied over the table that ModelRiver's guide for Neon
-- publishes, it adds what is missing and keeps every row. It is one transaction: all or nothing.
-- Postgres 14 and later.

BEGIN;

-- Rather give up than stand in the way of a running deployment.
SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;

-- As ModelRiver publishes it: https://modelriver.com/docs/event-driven-ai/serverless-databases/neon
CREATE TABLE IF NOT EXISTS public.ai_content (
    id         UUID DEFAULT gen_random_uuid() PRIMARY KEY,
    title      TEXT NOT NULL,
    body       TEXT,
    category   TEXT DEFAULT 'general',
    metadata   JSONB DEFAULT '{}',
    channel_id TEXT,
    event_name TEXT,
    created_at TIMESTAMPTZ DEFAULT now(),
    updated_at TIMESTAMPTZ DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_ai_content_channel ON public.ai_content (channel_id);
CREATE INDEX IF NOT EXISTS idx_ai_content_event ON public.ai_content (event_name);
CREATE INDEX IF NOT EXISTS idx_ai_content_created ON public.ai_content (created_at DESC);

-- What this receiver keeps besides.
ALTER TABLE public.ai_content
    ADD COLUMN IF NOT EXISTS ai_data        JSONB,       -- the whole AI result
    ADD COLUMN IF NOT EXISTS callback_url   TEXT,        -- where ModelRiver waits for the record
    ADD COLUMN IF NOT EXISTS called_back_at TIMESTAMPTZ, -- when ModelRiver took it
    ADD COLUMN IF NOT EXISTS callback_error TEXT;        -- or why it has not

-- One row for one channel and event, however often ModelRiver delivers it. Rows from before may
-- stand in the way; which of them to keep is for their owner to say.
DO $$
DECLARE
    pairs BIGINT;
BEGIN
    SELECT count(*) INTO pairs FROM (
        SELECT FROM public.ai_content WHERE channel_id IS NOT NULL
        GROUP BY channel_id, coalesce(event_name, '') HAVING count(*) > 1
    ) AS repeated;
    IF pairs > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = format('ai_content holds %s channel and event pairs more than once', pairs),
            DETAIL = 'Nothing was changed. They were stored by a receiver that keeps redeliveries.',
            HINT = 'Apply sql/move-duplicates.sql, which keeps the oldest row of each pair and '
                   'moves the others to ai_content_duplicates. Then apply sql/schema.sql again.';
    END IF;
END
$$;
CREATE UNIQUE INDEX IF NOT EXISTS idx_ai_content_delivery
    ON public.ai_content (channel_id, coalesce(event_name, '')) WHERE channel_id IS NOT NULL;

COMMIT;

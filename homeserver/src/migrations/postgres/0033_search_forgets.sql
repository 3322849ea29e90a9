-- What was taken back or purged before stayed in the index.
DELETE FROM search_text WHERE NOT EXISTS (
    SELECT 1 FROM event WHERE event.nid = search_text.nid AND event.redacted_by IS NULL
);

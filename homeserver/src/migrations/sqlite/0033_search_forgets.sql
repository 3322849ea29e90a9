-- What was taken back or purged before stayed in the index: it is made anew. What leaves it from now on leaves the file.
INSERT INTO search_text (search_text) VALUES ('delete-all');
INSERT INTO search_text (search_text, rank) VALUES ('secure-delete', 1);
DELETE FROM search_cursor;

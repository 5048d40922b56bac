-- The ledger knows label names and values, and the exposition alone how they are written: [["channel","fcm"],…].
-- The values are lower case letters, digits and underscores; nothing in them is escaped.
ALTER TABLE series RENAME COLUMN labels TO label_pairs;
UPDATE series SET label_pairs = CASE label_pairs WHEN '' THEN '[]'
    ELSE '[["' || replace(replace(label_pairs, '",', '"],["'), '="', '","') || ']]' END;
ALTER TABLE window_gauge_value RENAME COLUMN labels TO label_pairs;
UPDATE window_gauge_value SET label_pairs = CASE label_pairs WHEN '' THEN '[]'
    ELSE '[["' || replace(replace(label_pairs, '",', '"],["'), '="', '","') || ']]' END;

-- A part of an account that is queried by itself is a scope; departments are the only ones so far.
ALTER TABLE window_gauge RENAME COLUMN department TO scope;
ALTER TABLE window_gauge_value RENAME COLUMN department TO scope;

-- What a report keeps between polls has one encoding, with its version. Lines of text were kept of snapshots, to tell
-- whether they have changed: they are made anew by the next poll.
ALTER TABLE report RENAME COLUMN memory TO state;
UPDATE report SET state = CASE WHEN json_valid(state) THEN '{"version":1,"state":' || state || '}' ELSE '' END
WHERE state <> '';

-- So have the numbers of the newest messages: five words, empty where there is no number.
UPDATE newest_message SET numbers = '{"version":1,"state":[' || replace(trim(
    replace(replace('|' || replace(numbers, ' ', '|') || '|', '||', '|null|'), '||', '|null|'), '|'), '|', ',') || ']}';

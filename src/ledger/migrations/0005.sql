-- A series is held at 0 until `held_until` is 0, which is written before its total is shown: a process that ends
-- within the hold begins the hold again. What was written before this release told the time.
UPDATE series SET held_until = 0 WHERE held_until <= CAST(strftime('%s', 'now') AS INTEGER) * 1000;

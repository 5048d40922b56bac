-- Totals of an app's deliveries as they were at the beginning of an hour, for eight days: what was delivered in an hour is the
-- difference to the next. `hour` is in Unix hours, `totals` pairs of variable-length numbers: series and total.
CREATE TABLE delivery_hour (
    app    INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    hour   INTEGER NOT NULL,
    totals BLOB    NOT NULL,
    PRIMARY KEY (app, hour)
) WITHOUT ROWID;

//! What Flink runs and we do not, yet.

use crate::refused;

#[test]
fn what_is_missing_is_named() {
    for (statement, expected) in [
        (
            "SELECT LISTAGG(channel, channel) FROM bid",
            "LISTAGG takes a constant text as its separator (line 3, column 25)",
        ),
        (
            "SELECT LISTAGG(price) FROM bid",
            "LISTAGG: BIGINT was found where a text was expected (line 3, column 8)",
        ),
        (
            "SELECT SUM(price) OVER (ORDER BY price) FROM bid",
            "OVER of a table that may go on is in the order of the event time of a table, ascending, and of nothing \
             else, or in that of PROCTIME(): SET 'execution.runtime-mode' = 'batch' for tables that end (line 3, column 8)",
        ),
        (
            "SELECT SUM(price) OVER (ORDER BY PROCTIME() RANGE BETWEEN INTERVAL '2' DAY PRECEDING AND INTERVAL '1' DAY \
             PRECEDING) FROM bid",
            "OVER of a table that may go on ends at the row itself, with CURRENT ROW: SET 'execution.runtime-mode' = \
             'batch' for tables that end (line 3, column 8)",
        ),
        (
            "SELECT SUM(price) OVER (ORDER BY PROCTIME() DESC) FROM bid",
            "OVER of a table that may go on is in the order of the event time of a table, ascending, and of nothing \
             else, or in that of PROCTIME(): SET 'execution.runtime-mode' = 'batch'",
        ),
        (
            "SELECT LEAD(price) OVER (ORDER BY PROCTIME()) FROM bid",
            "LEAD of a table that may go on depends on rows that follow: SET 'execution.runtime-mode' = 'batch'",
        ),
        (
            "SELECT SUM(price) OVER () FROM bid",
            "OVER of a table that may go on needs ORDER BY, by the event time of a table: SET \
             'execution.runtime-mode' = 'batch' for tables that end (line 3, column 8)",
        ),
        (
            "SELECT PERCENTILE(price, 0.5) FROM bid",
            "PERCENTILE is an aggregate function, which is not supported yet",
        ),
        (
            "SELECT (price, 2) OVERLAPS (1, 3) FROM bid",
            "OVERLAPS is of two periods of times of one type, (begin, end) or (begin, INTERVAL '1' HOUR) for instance \
             (line 3, column 9)",
        ),
        (
            "SELECT (date_time, date_time) OVERLAPS (DATE '2024-01-01', INTERVAL '1' DAY) FROM bid",
            "OVERLAPS is of two periods of times of one type, (begin, end) or (begin, INTERVAL '1' HOUR) for instance \
             (line 3, column 9)",
        ),
        (
            "SELECT X'012' FROM bid",
            "`X'012'` is no constant of bytes: each is two digits of 0 to 9 and A to F (line 3, column 8)",
        ),
        (
            "SELECT X'0g' FROM bid",
            "`X'0g'` is no constant of bytes: each is two digits of 0 to 9 and A to F (line 3, column 8)",
        ),
        ("SELECT SUM(price) OVER w FROM bid", "there is no window `w` here (line 3, column 24)"),
        (
            "SELECT SUM(price) OVER (ORDER BY price ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING) FROM bid",
            "the frame of OVER ends before it begins",
        ),
        (
            "SET 'execution.runtime-mode' = 'batch'; SELECT SUM(price) OVER (ORDER BY price RANGE INTERVAL '1' \
             DAY PRECEDING) FROM bid",
            "RANGE with an interval needs ORDER BY one time, ascending: use ROWS for other orders",
        ),
        (
            "SELECT price FROM bid WHERE SUM(price) OVER () > 1",
            "SUM OVER may stand in SELECT, but not here",
        ),
        (
            "SELECT RANK() OVER (ORDER BY price) FROM bid",
            "OVER of a table that may go on is in the order of the event time of a table, ascending, and of nothing \
             else, or in that of PROCTIME(): SET 'execution.runtime-mode' = 'batch' for tables that end (line 3, column 8)",
        ),
        (
            "SELECT DENSE_RANK() OVER () FROM bid",
            "DENSE_RANK needs ORDER BY: rows have no order (line 3, column 8)",
        ),
        (
            "SELECT RANK() OVER (ORDER BY price ROWS 1 PRECEDING) FROM bid",
            "RANK takes no ROWS and no RANGE (line 3, column 8)",
        ),
        (
            "SELECT NTILE(0) OVER (ORDER BY price) FROM bid",
            "NTILE is of one part at least (line 3, column 8)",
        ),
        (
            "SELECT NTILE(price) OVER (ORDER BY price) FROM bid",
            "it is called as NTILE(4), with constants (line 3, column 8)",
        ),
        (
            "SELECT LAG(price, price) OVER (ORDER BY price) FROM bid",
            "it is called as LAG(value [, rows [, instead]]), with constants (line 3, column 8)",
        ),
        (
            "SELECT LEAD(price, -1) OVER (ORDER BY price) FROM bid",
            "LEAD is by no less than 0 rows (line 3, column 8)",
        ),
        (
            "SELECT LAG(price, 1, 'none') OVER (ORDER BY price) FROM bid",
            "the last argument of LAG is BIGINT here (line 3, column 8)",
        ),
        (
            "CREATE TABLE timed (WATERMARK FOR date_time AS date_time) LIKE bid; SELECT LEAD(price) OVER (ORDER BY \
             date_time) FROM timed",
            "LEAD of a table that may go on depends on rows that follow: SET 'execution.runtime-mode' = 'batch' for \
             tables that end",
        ),
        ("SELECT DISTINCT ON (price) price FROM bid", "DISTINCT ON is not supported yet"),
        (
            "SELECT 1 FROM bid GROUP BY CUBE (price, auction, channel, date_time, extra.url, price + 1, price + 2)",
            "more than 64 sets of keys are not supported (line 3, column 34)",
        ),
        (
            "SELECT ROW_NUMBER() OVER (ORDER BY price) FROM bid",
            "ROW_NUMBER of all rows is not supported: keep the first ones of each partition, with \
             `WHERE rn <= 10` for instance in the query around this one, or order them by the event time of a \
             table, or by PROCTIME() (line 3, column 8)",
        ),
        (
            "SELECT ROW_NUMBER() OVER (ORDER BY price), ROW_NUMBER() OVER (ORDER BY auction) FROM bid",
            "a second ROW_NUMBER of the same rows is not supported yet (line 3, column 44)",
        ),
        (
            "SELECT 1 FROM bid a LEFT JOIN bid b",
            "LEFT JOIN needs a condition: add ON (line 3, column 31)",
        ),
        ("SELECT 1 FROM bid a LEFT SEMI JOIN bid b ON a.price = b.price", "this kind of join"),
        (
            "SELECT 1 FROM bid a JOIN bid b USING (prize)",
            "there is no column `prize`: did you mean `price`? (line 3, column 39)",
        ),
        (
            "SELECT 1 FROM bid a JOIN (SELECT channel AS price FROM bid) b USING (price)",
            "the column `price` is BIGINT and STRING in the two tables: join them with ON and a CAST (line 3, \
             column 70)",
        ),
        (
            "SELECT price FROM bid ORDER BY price",
            "ORDER BY without LIMIT is in the order of the event time of a table, ascending, and of nothing else: \
             rows go on coming, so that none is known to be the next; add LIMIT to keep the first ones, leave ORDER \
             BY out, or SET 'execution.runtime-mode' = 'batch' for tables that end (line 3, column 32)",
        ),
        (
            "INSERT INTO out SELECT price, channel FROM bid ORDER BY price",
            "ORDER BY without LIMIT is in the order of the event time of a table, ascending, and of nothing else",
        ),
        (
            "SELECT price FROM bid ORDER BY price OFFSET 3",
            "OFFSET without LIMIT or FETCH is not supported",
        ),
        ("SELECT price FROM bid FETCH FIRST 3 ROWS WITH TIES", "FETCH of this kind"),
        ("SELECT price FROM bid MINUS SELECT price FROM bid", "MINUS is not supported yet"),
        ("CREATE TABLE t (a RAW) WITH ('connector' = 'x')", "the type RAW is not supported yet"),
    ] {
        let found = refused(statement);
        assert!(found.starts_with(expected), "{statement}: {found}");
    }
}

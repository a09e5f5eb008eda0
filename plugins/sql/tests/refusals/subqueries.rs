//! What subqueries may not be.

use crate::refused;

#[test]
fn what_is_no_subquery_is_named() {
    for (statement, expected) in [
        (
            "SELECT 1 FROM bid AS a RIGHT JOIN LATERAL (SELECT price FROM bid AS b WHERE b.auction = a.auction) AS t \
             ON TRUE",
            "LATERAL is joined by `,`, CROSS JOIN, JOIN … ON or LEFT JOIN … ON (line 3, column 44)",
        ),
        (
            "SELECT 1 FROM bid AS a, LATERAL (SELECT MAX(price) FROM bid AS b WHERE b.auction = a.auction LIMIT 1) AS t",
            "LIMIT in LATERAL of rows that are aggregated is not supported yet (line 3, column 34)",
        ),
        (
            "SELECT 1 FROM bid AS a, LATERAL (SELECT price FROM bid AS b WHERE b.auction = a.auction) AS t (x, y)",
            "2 columns are named, but the query has 1 (line 3, column 34)",
        ),
        (
            "SELECT 1 FROM bid AS a, LATERAL (SELECT DISTINCT price FROM bid AS b WHERE b.auction = a.auction ORDER BY \
             channel LIMIT 1) AS t",
            "ORDER BY of DISTINCT rows is by columns that are selected (line 3, column 107)",
        ),
        (
            "SELECT 1 FROM bid AS a, LATERAL (WITH c AS (SELECT price FROM bid AS b WHERE b.auction = a.auction) SELECT price \
             FROM c) AS t",
            "there is no column `a` (line 3, column 90)",
        ),
        // Refused by Flink, too.
        (
            "SELECT 1 FROM bid AS a, LATERAL (SELECT price FROM bid AS b WHERE b.auction = a.auction UNION ALL SELECT 1) AS t",
            "there is no column `a` (line 3, column 79)",
        ),
        (
            "SELECT 1 FROM bid AS a, LATERAL (SELECT price FROM bid AS b WHERE b.auction = a.nothing) AS t",
            "there is no column `nothing` (line 3, column 81)",
        ),
        (
            "SELECT 1 FROM bid WHERE price IN (SELECT price, auction FROM bid)",
            "IN takes a subquery of one column, not of 2 (line 3, column 35)",
        ),
        (
            "SELECT 1 FROM bid WHERE (price, auction) IN (SELECT price FROM bid)",
            "IN takes a subquery of 2 columns, not of 1 (line 3, column 46)",
        ),
        (
            "SELECT (SELECT price, auction FROM bid) FROM bid",
            "a value takes a subquery of one column, not of 2 (line 3, column 9)",
        ),
        (
            "SELECT 1 FROM bid WHERE price > ALL (SELECT price, auction FROM bid)",
            "ALL takes a subquery of one column, not of 2 (line 3, column 38)",
        ),
        (
            "SELECT 1 FROM bid WHERE channel IN (SELECT price FROM bid)",
            "a comparison cannot have STRING and BIGINT: use CAST (line 3, column 25)",
        ),
        (
            "SELECT channel > ANY (SELECT price FROM bid) FROM bid",
            "a comparison cannot have STRING and BIGINT: use CAST (line 3, column 8)",
        ),
        (
            "SELECT price IN (SELECT MAX(channel) FROM bid b WHERE b.auction = bid.auction) FROM \
             bid",
            "a comparison cannot have BIGINT and STRING: use CAST (line 3, column 8)",
        ),
        (
            "SELECT 1 FROM bid WHERE price > 1 OR (SELECT MAX(price) FROM bid)",
            "OR takes BOOLEAN, not BIGINT (line 3, column 39)",
        ),
        (
            "SELECT 1 FROM bid a WHERE EXISTS (SELECT 1 FROM bid b WHERE b.auction = a.auktion)",
            "there is no column `auktion`: did you mean `auction`? (line 3, column 75)",
        ),
        (
            "SELECT (SELECT MAX(prize) FROM bid) FROM bid",
            "there is no column `prize`: did you mean `price`? (line 3, column 20)",
        ),
        (
            "SELECT (SELECT b.price FROM bid b WHERE b.auction = a.auction LIMIT 1) FROM bid a",
            "a subquery about the rows around it takes none of LIMIT, FETCH and OFFSET: \
             ask for MIN or MAX, or rank the rows in a subquery of FROM and join it (line 3, \
             column 9)",
        ),
        (
            "SELECT 1 FROM bid a WHERE EXISTS (SELECT b.price FROM bid b WHERE b.auction = \
             a.auction ORDER BY b.price LIMIT 1 OFFSET 1)",
            "a subquery about the rows around it takes none of LIMIT, FETCH and OFFSET: \
             ask for MIN or MAX, or rank the rows in a subquery of FROM and join it (line 3, \
             column 35)",
        ),
        (
            "SELECT 1 FROM bid a WHERE a.price IN (SELECT b.price FROM bid b WHERE b.auction = \
             a.auction UNION ALL SELECT 1)",
            "there is no column `a` (line 3, column 83)",
        ),
        (
            "SELECT (SELECT MAX(b.price) FROM bid b WHERE b.auction = a.auction AND b.price > \
             (SELECT AVG(c.price) FROM bid c WHERE c.auction = a.auction)) FROM bid a",
            "there is no column `a` (line 3, column 132)",
        ),
        (
            "SELECT auction, (SELECT MAX(b.price) FROM bid b WHERE b.auction = a.auction) FROM \
             bid a GROUP BY auction",
            "a subquery about the rows around it is not supported where these are grouped: group \
             them in a subquery of FROM (line 3, column 18)",
        ),
        (
            "SELECT auction FROM bid a GROUP BY auction HAVING COUNT(*) > (SELECT COUNT(*) FROM \
             bid b WHERE b.auction = a.auction)",
            "a subquery about the rows around it is not supported where these are grouped: group \
             them in a subquery of FROM (line 3, column 63)",
        ),
        (
            "SELECT (SELECT MAX(b.price) + b.auction FROM bid b WHERE b.auction = a.auction) \
             FROM bid a",
            "beside aggregate functions a column of a subquery may differ within a group: put it \
             into GROUP BY, or aggregate it, with MAX for instance (line 3, column 16)",
        ),
        (
            "SELECT (SELECT MAX(b.price) + a.price FROM bid b WHERE b.auction = a.auction) FROM \
             bid a",
            "beside aggregate functions a column of a subquery may differ within a group: put it \
             into GROUP BY, or aggregate it, with MAX for instance (line 3, column 16)",
        ),
        (
            "SELECT (SELECT SUM(b.price) OVER (ORDER BY b.price) FROM bid b WHERE b.auction = \
             a.auction) FROM bid a",
            "OVER in a subquery about the rows around it is not supported yet (line 3, column 9)",
        ),
        (
            "SELECT (SELECT MAX(b.price) FROM bid b WHERE b.auction = a.auction GROUP BY ROLLUP \
             (b.channel)) FROM bid a",
            "a subquery about the rows around it with a window or several sets of keys is not \
             supported yet (line 3, column 85)",
        ),
        (
            "SELECT (SELECT MAX(b.price) FROM bid b WHERE b.auction = a.auction WINDOW w AS \
             (ORDER BY b.price)) FROM bid a",
            "WINDOW in a subquery about the rows around it is not supported yet (line 3, column \
             9)",
        ),
        (
            "SELECT (SELECT extra FROM bid) FROM bid",
            "a subquery whose value is ROW<`url` STRING, `tags` ROW<`first` STRING>> is \
             supported only if it aggregates all of its rows (line 3, column 9)",
        ),
        (
            "SELECT (price, auction) IN (SELECT price, auction FROM bid) FROM bid",
            "several columns are compared with those of a subquery by IN and NOT IN, as a \
             condition of WHERE by itself or beside others with AND, but not here (line 3, \
             column 9)",
        ),
        (
            "SELECT ROW_NUMBER() OVER (PARTITION BY (SELECT MAX(price) FROM bid) ORDER BY price) \
             FROM bid",
            "a subquery may stand in SELECT, WHERE, ON, GROUP BY, HAVING and ORDER BY, but not \
             here (line 3, column 41)",
        ),
        (
            "SELECT a.price FROM bid a JOIN bid b ON a.auction = b.auction AND EXISTS (SELECT 1 \
             FROM bid c WHERE c.price = a.price AND c.channel = b.channel)",
            "there is no column `a` (line 3, column 111)",
        ),
        (
            "SELECT a.x FROM (VALUES ((SELECT MAX(price) FROM bid))) AS a (x)",
            "a subquery may stand in SELECT, WHERE, ON, GROUP BY, HAVING and ORDER BY, but not \
             here (line 3, column 27)",
        ),
        (
            "SELECT ARRAY(SELECT price FROM bid) FROM bid",
            "`ARRAY(SELECT price FROM bid)` is not supported yet (line 3, column 8)",
        ),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
}

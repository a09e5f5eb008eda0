//! Scripts that were mangled: whatever is wrong with them is said, and nothing else happens.

use millstream_dataflow::Environment;
use millstream_sql::script;
use proptest::{collection::vec, prelude::*, sample::select};

const SCRIPT: &str = "SET 'sql-client.x' = '1'; SET 'parallelism.default' = '2'; RESET 'pipeline.name';
CREATE TEMPORARY TABLE t (a BIGINT NOT NULL, b DECIMAL(10, 2), c VARCHAR(7), d TIMESTAMP(3), \
r ROW<x STRING, y ROW<z INT>>, e AS CASE a WHEN 1 THEN r.x ELSE c END, WATERMARK FOR d AS d - INTERVAL \
'4' SECOND, PRIMARY KEY (a) NOT ENFORCED) PARTITIONED BY (c) WITH ('connector' = 'datagen', 'k' = 'v');
CREATE VIEW v (p, q) AS SELECT a + b * 2.5, DATE_FORMAT(d, 'yyyy') FROM t WHERE c LIKE 'x%' OR b IN (1, 2);
CREATE TABLE u (a BIGINT, b DECIMAL(10, 2), c STRING, d TIMESTAMP(3)) WITH ('connector' = 'datagen');
CREATE TABLE o (a BIGINT, n BIGINT) WITH ('connector' = 'print');
INSERT INTO o SELECT a, n FROM (SELECT l.a, COUNT(DISTINCT k.b) FILTER (WHERE k.c = 'x') AS n, ROW_NUMBER() \
OVER (PARTITION BY l.a ORDER BY MAX(k.d) DESC) AS rn FROM u AS l JOIN u AS k ON l.a + 1 = k.a AND l.b < k.b \
GROUP BY l.a HAVING SUM(l.b) > 1) WHERE rn <= 3;
CREATE TABLE e (a BIGINT, s STRING, x ROW<y BIGINT>, d AS TO_TIMESTAMP(s), WATERMARK FOR d AS d - INTERVAL '1' \
SECOND) WITH ('connector' = 'datagen');
CREATE VIEW h AS SELECT a, window_start AS ws, window_end AS we, window_time AS wt, SUM(x.y) AS n FROM TABLE(HOP( \
DATA => TABLE e, TIMECOL => DESCRIPTOR(d), SLIDE => INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND)) AS w WHERE \
a > 1 GROUP BY a, window_start, window_end, window_time HAVING window_end > TIMESTAMP '2026-01-01 00:00:00';
INSERT INTO o SELECT MAX(n), COUNT(*) FROM h GROUP BY ws, we;
INSERT INTO o SELECT a, COUNT(*) FROM TABLE(SESSION(TABLE h PARTITION BY (a), DESCRIPTOR(wt), INTERVAL '1' \
HOUR)) GROUP BY a, window_end, window_start;
INSERT INTO o SELECT a, COUNT(*) FROM e GROUP BY a, TUMBLE(d, INTERVAL '1' HOUR) HAVING TUMBLE_START(d, INTERVAL \
'1' HOUR) < TUMBLE_ROWTIME(d, INTERVAL '1' HOUR);
EXECUTE STATEMENT SET BEGIN INSERT INTO t (a, c) SELECT CAST(p AS BIGINT), REGEXP_EXTRACT(q, '(a)', 1) \
FROM v; END;
WITH w AS (SELECT p FROM v) SELECT w.p, SUBSTRING('abc' FROM 2 FOR 1) FROM w UNION ALL SELECT b, e FROM t;
";

/// What may stand in the place of a piece.
const PIECES: &[&str] = &[
    "(",
    ")",
    ",",
    ";",
    "'",
    "`",
    ".",
    "NULL",
    "SELECT",
    "FROM",
    "t",
    "v",
    "1",
    "-1",
    "1e400",
    "99999999999999999999",
    "0.00000000000000000000000000000000000000000001",
    "''",
    "CAST(",
    "AS",
    "ROW<",
    ">>",
    "INTERVAL",
    "ü",
    "\n",
    "--",
    "DECIMAL(38, 38)",
    "CHAR(0)",
    "WITH",
    "UNION",
    "*",
    "/",
    "%",
    "IS",
    "NOT",
    "CASE",
    "JOIN",
    "OVER (",
    "COUNT(",
    "DISTINCT",
    "GROUP BY",
    "HAVING",
    "rn = 0",
    "END",
    "TABLE",
    "TABLE(",
    "PARTITION BY",
    "DESCRIPTOR(",
    "TUMBLE(",
    "SESSION(",
    "=>",
    "window_start",
    "window_end",
    "window_time",
    "INTERVAL '0' SECOND",
    "EXPLAIN",
    "; EXPLAIN STATEMENT SET BEGIN",
    "; SHOW CREATE TABLE t;",
    "; DESCRIBE v;",
    "VALUES",
    "VALUES (1, NULL), ('x', 2)",
];

#[test]
fn the_script_is_planned_as_far_as_its_tables_are_read() {
    let until = SCRIPT.find("EXECUTE").unwrap();
    let planned = script::explain(&SCRIPT[..until]);
    assert!(
        planned
            .as_ref()
            .is_ok_and(|plan| plan.contains("TopN 3") && plan.matches("Windows").count() == 5),
        "{planned:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(changes in vec((any::<prop::sample::Index>(), 0..3usize, select(PIECES)), 1..4)) {
        let mut pieces: Vec<&str> = SCRIPT.split_inclusive([' ', '(', ')', ',', '\n']).collect();
        for (at, change, piece) in &changes {
            let at = at.index(pieces.len());
            match change {
                0 => pieces[at] = piece,
                1 => pieces.insert(at, piece),
                _ => drop(pieces.remove(at)),
            }
        }
        let script = pieces.concat();
        let built = script::build(&script, &Environment::new("mutated"));
        for error in built.err().into_iter().chain(script::explain(&script).err()) {
            // Underlining a place must find it in any text.
            prop_assert!(!error.explain(&script).is_empty());
            prop_assert!(!error.explain("").is_empty());
        }
    }
}

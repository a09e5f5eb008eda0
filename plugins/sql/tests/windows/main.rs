//! How windows of time are planned, and what they are refused for.

mod clocks;

use millstream_sql::script;

const TABLES: &str = "\
CREATE TABLE e (k INT, v BIGINT, at STRING, seen TIMESTAMP(3), ts AS TO_TIMESTAMP(at), \
WATERMARK FOR ts AS seen - INTERVAL '5' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE t (k INT, v BIGINT, ts TIMESTAMP(3), r ROW<a INT>, WATERMARK FOR ts AS ts) \
WITH ('connector' = 'datagen');
CREATE VIEW p AS SELECT k, v, PROCTIME() AS now FROM t;
CREATE TABLE sink (n BIGINT) WITH ('connector' = 'filesystem', 'format' = 'csv');
";

fn explained(query: &str) -> Result<String, String> {
    script::explain(&format!("{TABLES}{query}")).map_err(|error| error.to_string())
}

/// How a query is planned.
fn plan(query: &str) -> String {
    explained(query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// What a query is refused for.
fn refused(query: &str) -> String {
    explained(query).expect_err(query)
}

/// Checks the lines of a plan, from the top.
fn check(query: &str, expected: &[&str]) {
    let lines = expected.iter().enumerate().map(|(i, line)| format!("{:1$}{line}\n", "", 2 * i));
    assert_eq!(plan(query), lines.collect::<String>(), "{query}");
}

const MINUTE: &str = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";

#[test]
fn each_window_has_its_times() {
    for (window, expected) in [
        ("TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)", "TUMBLE 10000 ms"),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '-8' HOUR)",
            "TUMBLE 86400000 ms from -28800000 ms",
        ),
        (
            "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)",
            "HOP 10000 ms every 2000 ms",
        ),
        (
            "HOP(SIZE => INTERVAL '10' SECOND, DATA => TABLE t, OFFSET => INTERVAL '0.5' SECOND, SLIDE => \
             INTERVAL '5' SECOND, TIMECOL => DESCRIPTOR(ts))",
            "HOP 10000 ms every 5000 ms from 500 ms",
        ),
        (
            "CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '10' MINUTE)",
            "CUMULATE 600000 ms by 120000 ms",
        ),
        (
            "SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)",
            "SESSION 300000 ms",
        ),
        (
            "session(DATA => TABLE default_catalog.default_database.t PARTITION BY (k), timecol => \
             DESCRIPTOR(`ts`), gap => INTERVAL '1' SECOND)",
            "SESSION 1000 ms",
        ),
    ] {
        for from in [format!("TABLE({window})"), window.to_owned()] {
            let windows = format!("Windows {expected} of ts by [k] [COUNT(*) AS $agg0]");
            check(
                &format!(
                    "SELECT k, COUNT(*) AS n FROM {from} GROUP BY window_end, k, window_start"
                ),
                &["Project [k, $agg0 AS n]", &windows, "Scan t [k, ts] watermark ts of ts"],
            );
        }
    }
}

/// The watermark is of all rows of a table, also of those that are dropped, and of cells that nobody else needs.
#[test]
fn filters_are_done_between_the_watermark_and_the_windows() {
    check(
        "SELECT window_end, SUM(w.v + 1) AS s, w.k FROM TABLE(TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' \
         MINUTE)) AS w WHERE v > 3 GROUP BY window_end, w.k, window_start, w.k HAVING window_start > \
         TIMESTAMP '2026-01-01 00:00:00' AND SUM(w.v + 1) > 2 AND k = 7",
        &[
            "Project [window_end, $agg0 AS s, k]",
            "Filter $agg0 > 2",
            "Project [window_end, k, $agg0]",
            "Filter window_start > 1767225600000000",
            "Project [window_end, k, window_start, $agg0]",
            "Windows TUMBLE 60000 ms of ts by [k] [SUM($2) AS $agg0]",
            "Project [k, ts, v + 1 AS $2]",
            "Project [k, v, TO_TIMESTAMP(at) AS ts]",
            "Filter v > 3 AND k = 7",
            "Project [k, v, at]",
            "Scan e [k, v, at, seen] watermark seen - 5000000 of TO_TIMESTAMP(at)",
        ],
    );
    // Without windows nobody asks for event time.
    check(
        "SELECT k FROM t WHERE ts IS NULL",
        &["Project [k]", "Filter ts IS NULL", "Scan t [k, ts]"],
    );
}

#[test]
fn windows_are_passed_on_under_other_names() {
    check(
        "SELECT s, e, n FROM (SELECT a AS s, b AS e, COUNT(*) AS n FROM (SELECT window_end AS b, window_start \
         AS a, k + 1 AS c FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE window_start > \
         TIMESTAMP '2026-01-01 00:00:00' AND window_end > window_start) GROUP BY a, b, c) WHERE e <> s",
        &[
            "Project [a AS s, b AS e, $agg0 AS n]",
            "Filter a > 1767225600000000 AND a < b AND a != b",
            "Project [window_start AS a, window_end AS b, $0 AS c, $agg0]",
            "Windows TUMBLE 60000 ms of ts by [$0] [COUNT(*) AS $agg0]",
            "Project [k + 1 AS $0, ts]",
            "Scan t [k, ts] watermark ts of ts",
        ],
    );
    check(
        &format!("SELECT DISTINCT window_start, window_end FROM {MINUTE}"),
        &["Windows TUMBLE 60000 ms of ts by [] []", "Scan t [ts] watermark ts of ts"],
    );
}

/// The last moment of a window is the event time of what was made of it.
#[test]
fn windows_are_made_of_windows() {
    let twice = [
        "Project [window_start AS s, $agg0 AS n]",
        "Windows TUMBLE 3600000 ms of rt by [] [SUM(n) AS $agg0]",
        "Project [window_time AS rt, $agg0 AS n]",
        "Project [k, window_start, window_end, window_end - 1000 AS window_time, $agg0]",
        "Windows TUMBLE 60000 ms of ts by [k] [COUNT(*) AS $agg0]",
        "Scan t [k, ts] watermark ts of ts",
    ];
    check(
        &format!(
            "CREATE VIEW w AS SELECT k, window_time AS rt, COUNT(*) AS n FROM {MINUTE} GROUP BY k, window_start, \
             window_end, window_time; SELECT window_start AS s, SUM(n) AS n FROM TABLE(TUMBLE(TABLE w, \
             DESCRIPTOR(rt), INTERVAL '1' HOUR)) GROUP BY window_start, window_end"
        ),
        &twice,
    );
    check(
        "SELECT TUMBLE_START(rt, INTERVAL '1' HOUR) AS s, SUM(n) AS n FROM (SELECT k, TUMBLE_ROWTIME(ts, INTERVAL \
         '1' MINUTE) AS rt, COUNT(*) AS n FROM t GROUP BY k, TUMBLE(ts, INTERVAL '1' MINUTE)) GROUP BY \
         TUMBLE(rt, INTERVAL '1' HOUR)",
        &twice,
    );
}

/// Of windows within windows the outer ones are closed, and the bounds of the inner ones are columns like others.
#[test]
fn rows_are_grouped_by_two_windows() {
    check(
        &format!(
            "CREATE VIEW w AS SELECT window_start, window_end, window_time AS rt, COUNT(*) AS n FROM {MINUTE} GROUP \
             BY window_start, window_end, window_time; SELECT a, d, SUM(n) AS n FROM TABLE(TUMBLE(TABLE w, \
             DESCRIPTOR(rt), INTERVAL '1' HOUR)) AS w (a, b, rt, n, c, d, t) GROUP BY a, b, c, d"
        ),
        &[
            "Project [window_start AS a, window_end' AS d, $agg0 AS n]",
            "Windows TUMBLE 3600000 ms of rt by [window_start, window_end] [SUM(n) AS $agg0]",
            "Project [window_start, window_end, window_time AS rt, $agg0 AS n]",
            "Project [window_start, window_end, window_end - 1000 AS window_time, $agg0]",
            "Windows TUMBLE 60000 ms of ts by [] [COUNT(*) AS $agg0]",
            "Scan t [ts] watermark ts of ts",
        ],
    );
}

/// Groups by the bounds of windows that are made already add rows only, as those of the windows do.
#[test]
fn groups_of_windows_are_grouped_by_their_windows() {
    let counts = format!(
        "SELECT k, window_start AS s, window_end AS e, COUNT(*) AS n FROM {MINUTE} GROUP BY k, window_start, \
         window_end"
    );
    check(
        &format!(
            "INSERT INTO sink SELECT MAX(n) FROM (SELECT * FROM ({counts}) WHERE n > 3) GROUP BY e, s, MOD(k, 2)"
        ),
        &[
            "Project [$agg0 AS n]",
            "Windows as attached of e by [$key2] [MAX(n) AS $agg0]",
            "Project [$key2, s, e, n]",
            "Project [window_end AS e, window_start AS s, %(k, 2) AS $key2, $agg0 AS n]",
            "Filter $agg0 > 3",
            "Project [k, window_start, window_end, $agg0]",
            "Windows TUMBLE 60000 ms of ts by [k] [COUNT(*) AS $agg0]",
            "Scan t [k, ts] watermark ts of ts",
        ],
    );
    // Their event time goes on with them.
    check(
        &format!(
            "WITH c AS (SELECT k, window_start AS s, window_end AS e, window_time AS rt, COUNT(*) AS n FROM {MINUTE} \
             GROUP BY k, window_start, window_end, window_time), tops AS (SELECT rt AS t, MAX(n) AS n FROM c GROUP \
             BY rt, s, e) SELECT SUM(w.b) AS n FROM TABLE(TUMBLE(TABLE tops, DESCRIPTOR(t), INTERVAL '1' HOUR)) AS \
             w (a, b, c, d, e) GROUP BY c, d"
        ),
        &[
            "Project [$agg0 AS n]",
            "Windows TUMBLE 3600000 ms of t by [] [SUM(n) AS $agg0]",
            "Project [rt AS t, $agg0 AS n]",
            "Project [window_end - 1000 AS rt, window_start AS s, window_end AS e, $agg0]",
            "Windows as attached of e by [] [MAX(n) AS $agg0]",
            "Project [window_start AS s, window_end AS e, $agg0 AS n]",
            "Project [k, window_start, window_end, window_end - 1000 AS window_time, $agg0]",
            "Windows TUMBLE 60000 ms of ts by [k] [COUNT(*) AS $agg0]",
            "Scan t [k, ts] watermark ts of ts",
        ],
    );
    // By one bound they are groups like others.
    let found = plan(&format!("SELECT MAX(n) AS n FROM ({counts}) GROUP BY e"));
    assert!(found.contains("Aggregate by [e]"), "{found}");
}

#[test]
fn windows_of_group_by_have_functions() {
    check(
        "SELECT CAST(HOP_START(ts, INTERVAL '1' SECOND, INTERVAL '3' SECOND) AS STRING) AS s, k + COUNT(*) AS n \
         FROM t WHERE k > 1 GROUP BY HOP(ts, INTERVAL '1' SECOND, INTERVAL '3' SECOND), k HAVING \
         HOP_END(ts, INTERVAL '1' SECOND, INTERVAL '3' SECOND) > TIMESTAMP '2026-01-01 00:00:00'",
        &[
            "Project [CAST(window_start) AS s, CAST(k AS Int64) + $agg0 AS n]",
            "Filter window_end > 1767225600000000",
            "Project [window_start, window_end, k, $agg0]",
            "Windows HOP 3000 ms every 1000 ms of ts by [k] [COUNT(*) AS $agg0]",
            "Filter k > 1",
            "Scan t [k, ts] watermark ts of ts",
        ],
    );
}

#[test]
fn wrong_windows_are_refused() {
    let tumble = |arguments: &str| {
        let query =
            format!("SELECT 1 FROM TABLE(TUMBLE({arguments})) GROUP BY window_start, window_end");
        refused(&query)
    };
    let time = "TUMBLE takes the event time of its rows, which";
    let declare = "is not: declare it in CREATE TABLE with WATERMARK FOR, as in `WATERMARK FOR ts AS ts - \
                   INTERVAL '5' SECOND`, and pass the column on as it is; or processing time, a column that is PROCTIME()";
    let called = "TUMBLE is called as TUMBLE(DATA, TIMECOL, SIZE, [OFFSET])";
    for (arguments, expected) in [
        ("TABLE e, DESCRIPTOR(seen), INTERVAL '1' DAY", format!("{time} `seen` {declare} (line 5, column 48)")),
        ("TABLE t, DESCRIPTOR(r.a), INTERVAL '1' DAY", format!("{time} `r.a` {declare}")),
        ("TABLE t, DESCRIPTOR(x), INTERVAL '1' DAY", "there is no column `x`".into()),
        ("TABLE x, DESCRIPTOR(ts), INTERVAL '1' DAY", "there is no table or view `x`".into()),
        ("t, DESCRIPTOR(ts), INTERVAL '1' DAY", "TUMBLE takes the table as TABLE and its name (line 5".into()),
        (
            "TABLE t, ts, INTERVAL '1' DAY",
            "TUMBLE takes the column with the time as DESCRIPTOR and its name in parentheses (line 5".into(),
        ),
        ("TABLE t, DESCRIPTOR(ts, k), INTERVAL '1' DAY", "TUMBLE takes one column (line 5".into()),
        ("TABLE t, DESCRIPTOR(ts)", format!("{called} (line 5, column 21)")),
        ("TABLE t, DESCRIPTOR(ts), GAP => INTERVAL '1' DAY", format!("{called} (line 5, column 53)")),
        ("TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY, DATA => TABLE t", format!("{called} (line 5")),
        (
            "TABLE t, DESCRIPTOR(ts), INTERVAL '0' DAY",
            "TUMBLE takes an interval of 1 ms at least (line 5, column 62)".into(),
        ),
        (
            "TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH",
            "TUMBLE takes a constant interval of whole milliseconds, such as INTERVAL '10' SECOND (line 5".into(),
        ),
        (
            "TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' DAY",
            "TUMBLE takes no PARTITION BY: its windows are those of all rows (line 5, column 21)".into(),
        ),
    ] {
        let found = tumble(arguments);
        assert!(found.starts_with(&expected), "{arguments}: {found}");
    }
    for (query, expected) in [
        (
            "SELECT 1 FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '10' SECOND))",
            "HOP takes a size of whole slides: 10000 ms is no multiple of 3000 ms (line 5, column 80)",
        ),
        (
            "SELECT 1 FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '1' SECOND))",
            "CUMULATE takes a size of whole steps: 1000 ms is no multiple of 3000 ms",
        ),
        (
            "SELECT 1 FROM TABLE(TUMBEL(TABLE(t), 1))",
            "the table function TUMBEL is not supported yet: did you mean `TUMBLE`? (line 5, column 21)",
        ),
        (
            "SELECT 1 FROM t GROUP BY TUMBLE(ts)",
            "in GROUP BY TUMBLE is called as TUMBLE(time, size) (line 5, column 26)",
        ),
        (
            "SELECT 1 FROM e GROUP BY SESSION(seen, INTERVAL '1' DAY)",
            "SESSION takes the event time of its rows",
        ),
        (
            "SELECT 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '1' DAY), SESSION(ts, INTERVAL '1' DAY)",
            "GROUP BY takes one window (line 5, column 56)",
        ),
        (
            "SELECT TUMBLE_END(ts, INTERVAL '2' DAY) FROM t GROUP BY TUMBLE(ts, INTERVAL '1' DAY)",
            "TUMBLE_END is about the window that rows are grouped by: it may stand in SELECT and HAVING, with a \
             TUMBLE of the same arguments in GROUP BY (line 5, column 8)",
        ),
        ("SELECT HOP_START(ts, INTERVAL '2' DAY) FROM t", "HOP_START is about the window"),
        (
            "SELECT TUMBLE(ts, INTERVAL '1' DAY) FROM t",
            "the window TUMBLE may stand in GROUP BY and FROM, but not here (line 5, column 8)",
        ),
        (
            "SELECT COUNT(*) FROM t GROUP BY SESSION(ts, INTERVAL '1' DAY), window_start",
            "there is no column `window_start`",
        ),
        (
            "CREATE TABLE l (ts TIMESTAMP_LTZ(6), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen'); \
             SELECT 1 FROM l GROUP BY TUMBLE(ts, INTERVAL '1' DAY)",
            "TUMBLE of a time that is TIMESTAMP_LTZ(6) is not supported: use TIMESTAMP(3) or TIMESTAMP_LTZ(3) (line 5",
        ),
        (
            "CREATE TABLE l (ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS CAST(ts AS TIMESTAMP(3))) WITH ('connector' = \
             'datagen'); SELECT 1 FROM l GROUP BY TUMBLE(ts, INTERVAL '1' DAY)",
            "the event time `ts` is TIMESTAMP_LTZ(3) and its watermark TIMESTAMP(3): both must be TIMESTAMP(3), or both \
             TIMESTAMP_LTZ(3), use CAST (line 5",
        ),
        (
            "CREATE TABLE l (ts TIMESTAMP(3), WATERMARK FOR ts AS 'x') WITH ('connector' = 'datagen'); \
             SELECT 1 FROM l GROUP BY TUMBLE(ts, INTERVAL '1' DAY)",
            "the event time `ts` is TIMESTAMP(3) and its watermark CHAR(1): both must be TIMESTAMP(3), or both \
             TIMESTAMP_LTZ(3), use CAST (line 5",
        ),
    ] {
        let found = refused(query);
        assert!(found.starts_with(expected), "{query}: {found}");
    }
}

/// Rows come in their windows where somebody asks for them, or computes with both.
#[test]
fn windows_may_stand_alone() {
    let check_above = |query: String, above: &[&str]| {
        let below = ["Assign TUMBLE 60000 ms of ts", "Scan t [k, ts] watermark ts of ts"];
        check(&query, &[above, &below].concat());
    };
    check_above(format!("SELECT k, window_start FROM {MINUTE}"), &["Project [k, window_start]"]);
    check_above(
        format!("SELECT k, COUNT(*) AS n FROM {MINUTE} GROUP BY window_start, k"),
        &[
            "Project [k, $agg0 AS n]",
            "Aggregate by [window_start, k] [COUNT(*) AS $agg0]",
            "Project [window_start, k]",
        ],
    );
    check_above(
        format!(
            "SELECT MAX(k) AS m FROM {MINUTE} WHERE window_start > ts GROUP BY window_start, window_end"
        ),
        &[
            "Project [$agg0 AS m]",
            "Windows as attached of window_end by [] [MAX(k) AS $agg0]",
            "Project [window_start, window_end, k]",
            "Filter ts < window_start",
            "Project [k, ts, window_start, window_end]",
        ],
    );
}

/// What is kept goes with the window, and rows stay in it.
#[test]
fn rows_of_windows_are_joined_and_ranked() {
    let grouped = format!(
        "(SELECT k, window_start, window_end, COUNT(*) AS n FROM {MINUTE} GROUP BY k, window_start, window_end)"
    );
    let same = "a.window_start = b.window_start AND a.window_end = b.window_end";
    for (from, expected) in [
        (format!("{grouped} a JOIN {grouped} b ON {same} AND a.k = b.k"), "WindowJoin [k = k'] at"),
        (
            format!("{MINUTE} a FULL JOIN {grouped} b ON {same} AND a.k < b.k"),
            "WindowFullJoin [window_end",
        ),
        (
            format!("{MINUTE} a, {MINUTE} b WHERE {same} AND a.k = b.k"),
            "WindowJoin [k = k'] at window_end = w",
        ),
        (
            format!("{MINUTE} a WHERE a.k IN (SELECT k FROM {grouped} b WHERE {same})"),
            "WindowSemiJoin [k = k'] at",
        ),
        (
            format!(
                "{grouped} a WHERE NOT EXISTS (SELECT k FROM {MINUTE} b WHERE {same} AND a.k = b.k)"
            ),
            "WindowAntiJoin [k = k'] at",
        ),
        (
            format!(
                "{MINUTE} a JOIN TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) b ON {same} AND a.k = b.k"
            ),
            "  Join [",
        ),
        (
            format!("{MINUTE} a JOIN {MINUTE} b ON a.window_end = b.window_end AND a.k = b.k"),
            "  Join [",
        ),
    ] {
        let found = plan(&format!("SELECT a.k FROM {from}"));
        assert!(found.contains(expected), "{from}: {found}");
    }
    let ranked = |by: &str, order: &str, rest: &str| {
        plan(&format!(
            "SELECT k, window_end FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {order}) AS rn \
             FROM (SELECT k, v, ts, window_start, window_end FROM {MINUTE})) WHERE {rest}"
        ))
    };
    for (by, order, rest, expected) in [
        (
            "window_start, window_end, k",
            "v",
            "rn <= 3",
            "WindowTopN 3 by [k] at window_end order [v]\n",
        ),
        (
            "window_end, window_start",
            "v",
            "rn = 2",
            "WindowTopN 2 by [] at window_end order [v] with rank\n",
        ),
        (
            "window_start, window_end, k",
            "ts DESC",
            "rn = 1",
            "WindowTopN 1 by [k] at window_end order [ts DESC], the latest of equals\n",
        ),
        ("window_end, k", "v", "rn <= 3", " TopN 3 by [window_end, k] order [v]\n"),
    ] {
        let found = ranked(by, order, rest);
        assert!(found.contains(expected), "{found}");
    }
    // They are still those of windows.
    let above = plan(&format!(
        "SELECT COUNT(*) FROM (SELECT a.window_start, a.window_end FROM {MINUTE} a JOIN {MINUTE} b ON {same}) GROUP BY window_start, window_end"
    ));
    assert!(above.contains("Windows as attached"), "{above}");
}

#[test]
fn windows_that_are_missing_are_named() {
    let session = |rest: &str| {
        format!(
            "SELECT COUNT(*) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' DAY)) {rest}"
        )
    };
    for (query, expected) in [
        (
            session("GROUP BY k"),
            "the window SESSION without GROUP BY window_start, window_end is not supported yet (line 5",
        ),
        (
            format!(
                "SELECT MAX(window_end) FROM {} GROUP BY k, window_start, window_end",
                "TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' DAY))"
            ),
            "the window SESSION can be grouped by window_start and window_end; to compute with them before is not \
             supported yet (line 5",
        ),
        (
            session("WHERE v > 3 GROUP BY k, window_start, window_end"),
            "the window SESSION with a condition of other columns than those of GROUP BY between them is not \
             supported yet (line 5",
        ),
        (
            session("GROUP BY window_start, window_end"),
            "the window SESSION with another PARTITION BY than the columns of GROUP BY beside window_start and \
             window_end is not supported yet (line 5",
        ),
        (
            "SELECT COUNT(*) FROM (SELECT k, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS rn \
             FROM (SELECT k, v, ts FROM t)) WHERE rn = 1) GROUP BY TUMBLE(ts, INTERVAL '1' DAY)"
                .into(),
            "TUMBLE takes the event time of its rows, which `ts` is not",
        ),
        (
            "SELECT TUMBLE_PROCTIME(ts, INTERVAL '1' DAY) FROM t GROUP BY TUMBLE(ts, INTERVAL '2' DAY)".into(),
            "TUMBLE_PROCTIME is about the window that rows are grouped by",
        ),
    ] {
        let found = refused(&query);
        assert!(found.starts_with(expected), "{query}: {found}");
    }
}

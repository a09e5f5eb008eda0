//! Aggregate functions of users, which scripts take from plugins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use crate::{
    changelogs::left,
    functions::{ROWS, functions, rows, run},
    killed::kill_in_the_middle,
    program::{Scratch, stderr, stdout},
};

/// The functions, over a table of these rows with a time of a second each.
fn tables(rows: &str, format: &str) -> String {
    let mut script = format!(
        "CREATE TABLE t (id INT NOT NULL, n BIGINT, s STRING, ts AS TO_TIMESTAMP_LTZ(id * 1000, 3), WATERMARK FOR \
         ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'filesystem', 'path' = '{rows}', 'format' = \
         '{format}');\n"
    );
    for function in ["total", "middle", "tally"] {
        let library = functions();
        script +=
            &format!("CREATE FUNCTION {function} AS '{function}' USING PLUGIN '{library}';\n");
    }
    script
}

/// Queries, and their rows in order of the lines.
const QUERIES: &[(&str, &[&str])] = &[
    // NULL is given to what takes it only; INT is given as the BIGINT that the function takes.
    ("SELECT total(n), middle(n), tally(s, id), COUNT(*) FROM t", &["17,5,27 and 1,4"]),
    ("SELECT MIDDLE(id), total(1) + 1 FROM t", &["2,5"]),
    ("SELECT n, tally(s, id) FROM t GROUP BY n", &[",0 and 1", "5,15 and 0", "7,12 and 0"]),
    ("SELECT n, middle(id) FROM t GROUP BY n HAVING middle(id) > 1", &[",2", "7,3"]),
    ("SELECT n FROM t GROUP BY n HAVING total(n) < 8", &["", "7"]),
    // What is said of no rows is up to the function.
    (
        "SELECT middle(n) FILTER (WHERE id > 1), total(n) FILTER (WHERE id > 5), middle(n) FILTER (WHERE id > 5) \
         FROM t",
        &["5,0,"],
    ),
    ("SELECT middle(DISTINCT n), total(DISTINCT n), total(n) FROM t", &["5,12,17"]),
    ("SELECT n, total(id) FROM t GROUP BY GROUPING SETS ((n), ())", &[",10", ",2", "5,5", "7,3"]),
    // Rows that change: of one group all rows go.
    (
        "SELECT middle(c), tally(s, 2) FROM (SELECT n, COUNT(*) AS c, MAX(s) AS s FROM t GROUP BY n)",
        &["1,38 and 1"],
    ),
    (
        "SELECT c, middle(n) FROM (SELECT n, COUNT(*) AS c FROM t WHERE n = 5 GROUP BY n) GROUP BY c",
        &["2,5"],
    ),
    (
        "SELECT middle(DISTINCT c), middle(c) FROM (SELECT n, COUNT(*) * 3 AS c FROM t GROUP BY n)",
        &["3,3"],
    ),
    // Windows, also those that are made of others.
    (
        "SELECT window_start, total(n), middle(n), tally(s, id) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL \
         '2' SECOND)) GROUP BY window_start, window_end",
        &[
            "1970-01-01 00:00:00.000,5,5,15 and 0",
            "1970-01-01 00:00:02.000,7,7,12 and 1",
            "1970-01-01 00:00:04.000,5,5,0 and 0",
        ],
    ),
    (
        "SELECT window_end, total(n), middle(n) FILTER (WHERE id > 1), tally(s, id) FROM TABLE(HOP(TABLE t, \
         DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '4' SECOND)) GROUP BY window_start, window_end",
        &[
            "1970-01-01 00:00:02.000,5,,15 and 0",
            "1970-01-01 00:00:04.000,12,7,27 and 1",
            "1970-01-01 00:00:06.000,12,5,12 and 1",
            "1970-01-01 00:00:08.000,5,5,0 and 0",
        ],
    ),
    (
        "SELECT window_start, window_end, middle(n), tally(s, id) FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), \
         INTERVAL '2' SECOND)) GROUP BY window_start, window_end",
        &["1970-01-01 00:00:01.000,1970-01-01 00:00:06.000,5,27 and 1"],
    ),
    // With DISTINCT within windows, beside others of the same column, also of windows that are made of others.
    (
        "SELECT total(DISTINCT n), middle(DISTINCT n), total(n), COUNT(DISTINCT n), total(DISTINCT n) FILTER (WHERE id > \
         3) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '8' SECOND)) GROUP BY window_start, window_end",
        &["12,5,17,2,5"],
    ),
    (
        "SELECT window_end, total(DISTINCT n), total(n) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, \
         INTERVAL '6' SECOND)) GROUP BY window_start, window_end",
        &[
            "1970-01-01 00:00:03.000,5,5",
            "1970-01-01 00:00:06.000,12,17",
            "1970-01-01 00:00:09.000,12,12",
        ],
    ),
    (
        "SELECT total(DISTINCT n), total(n) FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY \
         window_start, window_end",
        &["12,17"],
    ),
    // The rows up to each one; of the last two, where one function takes rows back and another does not; of all
    // rows of a partition; and with DISTINCT.
    (
        "SELECT id, total(n) OVER w, middle(n) OVER w, tally(s, id) OVER w, COUNT(*) OVER w FROM t WINDOW w AS (ORDER BY \
         ts)",
        &["1,5,5,15 and 0,1", "2,5,5,15 and 1,2", "3,12,5,27 and 1,3", "4,17,5,27 and 1,4"],
    ),
    (
        "SELECT id, total(n) OVER w, middle(n) OVER w FROM t WINDOW w AS (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND \
         CURRENT ROW)",
        &["1,5,5", "2,5,5", "3,7,7", "4,12,5"],
    ),
    (
        "SELECT id, total(n) OVER w, middle(n) OVER w FROM t WINDOW w AS (PARTITION BY MOD(id, 2) ORDER BY ts RANGE \
         INTERVAL '1' SECOND PRECEDING)",
        &["1,5,5", "2,0,", "3,7,7", "4,5,5"],
    ),
    (
        "SELECT id, total(DISTINCT n) OVER w, middle(DISTINCT id) OVER w FROM t WINDOW w AS (PARTITION BY s IS NULL ORDER BY \
         ts)",
        &["1,5,1", "2,0,2", "3,12,1", "4,12,3"],
    ),
    (
        "SELECT n, total(c) OVER (ORDER BY w) FROM (SELECT n, COUNT(*) AS c, window_time AS w FROM TABLE(TUMBLE(TABLE t, \
         DESCRIPTOR(ts), INTERVAL '8' SECOND)) GROUP BY n, window_start, window_end, window_time)",
        &[",4", "5,4", "7,4"],
    ),
];

#[test]
fn aggregate_functions_of_users_are_called() {
    let scratch = Scratch::new("aggregate-functions");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), "json");
    for (query, expected) in QUERIES {
        for (mode, engine) in [
            ("streaming", &["--parallelism", "1"][..]),
            ("streaming", &["--parallelism", "2"]),
            ("streaming", &["--parallelism", "2", "--processes", "2"]),
            ("batch", &["--parallelism", "2"]),
        ] {
            let engine = [engine, &["--output", "csv"]].concat();
            let script = format!("{script}SET 'execution.runtime-mode' = '{mode}';\n{query}");
            let output = run(&scratch, &script, &engine);
            assert_eq!(rows(&output), *expected, "{query}: {mode} {engine:?}");
        }
    }
}

#[test]
fn explain_shows_calls_of_groups() {
    let scratch = Scratch::new("aggregate-functions-explain");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), "json");
    let query = "EXPLAIN SELECT tally(s, id) FILTER (WHERE n > 1), middle(DISTINCT n) FROM t";
    let output = run(&scratch, &format!("{script}{query}"), &["--output", "csv"]);
    let expected = "[tally(s, id) FILTER $filter2 AS $agg0, middle(DISTINCT n) AS $agg1]";
    let shown = stdout(&output);
    assert!(shown.contains(expected), "{shown}{}", stderr(&output));
}

#[test]
fn what_an_aggregate_function_cannot_is_named() {
    let scratch = Scratch::new("aggregate-functions-refused");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), "json");
    for (statement, expected) in [
        (
            "SELECT total(c) FROM (SELECT n, COUNT(*) AS c FROM t GROUP BY n)",
            "total cannot take rows back, so that it cannot be called for rows that are updated, because of GROUP BY: \
             give the function a `retract`, and say that it RETRACTS",
        ),
        (
            "SELECT total(s) FROM t",
            "total does not take (STRING): it takes (number BIGINT NOT NULL) (line 5, column 8)",
        ),
        (
            "SELECT tally(s) FROM t",
            "tally does not take (STRING): it takes (text STRING, times INT NOT NULL) (line 5, column 8)",
        ),
        ("SELECT total(*) FROM t", "`*` is not supported yet (line 5, column 1)"),
        (
            "SELECT tally(DISTINCT s, id) FROM t",
            "tally with DISTINCT takes one argument (line 5, column 8)",
        ),
        (
            "SELECT total(n) FILTER (WHERE id > 1) OVER (ORDER BY ts) FROM t",
            "total with FILTER and OVER is not supported yet (line 5, column 8)",
        ),
        (
            "SELECT total(n) IGNORE NULLS FROM t",
            "total with IGNORE NULLS or WITHIN GROUP is not supported yet (line 5, column 8)",
        ),
        (
            "SELECT id FROM t WHERE total(n) > 1",
            "total is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in another one \
             (line 5, column 24)",
        ),
        (
            "SELECT SUM(total(n)) FROM t",
            "total is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in another one \
             (line 5, column 12)",
        ),
        (
            "SELECT * FROM t, LATERAL TABLE(total(n)) AS x (a)",
            "total is an aggregate function, which stands for a value: it cannot stand in FROM (line 5, column 26)",
        ),
    ] {
        let output = run(&scratch, &format!("{script}{statement}"), &["--output", "csv"]);
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{statement}: {said}");
    }
}

/// What a job writes that is killed, and the functions of its columns.
const KEPT: [(&str, &str); 4] = [
    ("k, m, s", "SELECT MOD(id, 50), middle(n), total(n) FROM t GROUP BY MOD(id, 50)"),
    (
        "k, m",
        "SELECT MOD(k, 3), middle(c) FROM (SELECT MOD(id, 50) AS k, SUM(n) AS c FROM t GROUP BY MOD(id, 50)) \
         GROUP BY MOD(k, 3)",
    ),
    (
        "k, m, s, d",
        "SELECT MAX(id), middle(n), total(n), total(DISTINCT MOD(n, 50)) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), \
         INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)) GROUP BY window_start, window_end",
    ),
    (
        "k, m, s",
        "SELECT id, middle(n) OVER w, total(n) OVER w FROM t WINDOW w AS (PARTITION BY MOD(id, 3) ORDER BY ts ROWS \
         BETWEEN 9 PRECEDING AND CURRENT ROW)",
    ),
];

const MANY: i64 = 10_000;

/// The number of a row.
fn number(id: i64) -> Option<i64> {
    (id % 11 != 3).then_some(id * 7919 % 1000)
}

/// The number in the middle, and the sum.
fn middle(mut numbers: Vec<i64>) -> (i64, i64) {
    numbers.sort_unstable();
    (numbers[(numbers.len() - 1) / 2], numbers.iter().sum())
}

/// The rows of each query.
fn expected() -> [Vec<String>; 4] {
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut windows: BTreeMap<i64, (i64, Vec<i64>)> = BTreeMap::new();
    for id in 0..MANY {
        groups.entry(id % 50).or_default().extend(number(id));
        for window in [id / 60, id / 60 + 1] {
            let (last, numbers) = windows.entry(window).or_default();
            *last = id;
            numbers.extend(number(id));
        }
    }
    let mut sums: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut all: [Vec<String>; 4] = Default::default();
    for (key, numbers) in groups {
        let (middle, sum) = middle(numbers);
        all[0].push(format!("{key},{middle},{sum}"));
        sums.entry(key % 3).or_default().push(sum);
    }
    all[1].extend(sums.into_iter().map(|(key, sums)| format!("{key},{}", middle(sums).0)));
    for (last, numbers) in windows.into_values() {
        let different: BTreeSet<i64> = numbers.iter().map(|number| number % 50).collect();
        let (middle, sum) = middle(numbers);
        all[2].push(format!("{last},{middle},{sum},{}", different.iter().sum::<i64>()));
    }
    for id in 0..MANY {
        let around = (0..10).map(|back| id - 3 * back).filter(|id| *id >= 0);
        let (middle, sum) = middle(around.filter_map(number).collect());
        all[3].push(format!("{id},{middle},{sum}"));
    }
    all.iter_mut().for_each(|rows| rows.sort());
    all
}

#[test]
fn accumulators_are_there_again_when_a_script_was_killed() {
    let scratch = Scratch::new("aggregate-functions-killed");
    let mut text = String::new();
    for id in 0..MANY {
        let number = number(id).map(|number| number.to_string()).unwrap_or_default();
        writeln!(text, "{id},{number},").expect("text");
    }
    let mut script = tables(&scratch.file("rows.csv", text.as_bytes()), "csv");
    let mut inserts = String::new();
    for (at, (columns, query)) in KEPT.iter().enumerate() {
        let (columns, path) =
            (columns.replace(',', " BIGINT,"), scratch.path(&format!("out-{at}")));
        script += &format!(
            "CREATE TABLE o{at} ({columns} BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = \
             'changelog-json');\n"
        );
        inserts += &format!("INSERT INTO o{at} {query};\n");
    }
    script += &format!("EXECUTE STATEMENT SET BEGIN\n{inserts}END;\n");
    let file = scratch.file("job.sql", script.as_bytes());
    let expected = expected();
    let processes: [&[&str]; 2] = [&[], &["--processes", "2"]];
    for (number, more) in processes.into_iter().enumerate() {
        let checkpoints = scratch.path(&format!("checkpoints-{number}"));
        kill_in_the_middle("aggregate functions", &file, &checkpoints, more);
        for (at, ((columns, query), expected)) in KEPT.iter().zip(&expected).enumerate() {
            let out = scratch.path(&format!("out-{at}"));
            let rows = left(Path::new(&out), &columns.replace(' ', ""));
            let wrong = rows.iter().zip(expected).find(|(found, expected)| found != expected);
            assert!(
                rows == *expected,
                "{query}: {} of {} rows, {wrong:?}",
                rows.len(),
                expected.len()
            );
            fs::remove_dir_all(&out).expect("the sink's directory");
        }
    }
}

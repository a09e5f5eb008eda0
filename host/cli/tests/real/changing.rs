//! Operators that keep rows in order, count them, or wait for event time: what is left when they were killed.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    changelogs::left,
    killed::kill_and_rescale,
    program::{Scratch, millstream, stderr},
    sql::library,
};

/// Rows of the table, one for each second: enough for some checkpoints.
const ROWS: u64 = 40_000;
/// Seconds from one version of a rate to the next.
const VERSIONS: u64 = 50;

/// Rows, the last versions of rates, and groups that change with every row.
const TABLES: &str = "\
CREATE TABLE r (id BIGINT, k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH (
  'connector' = 'filesystem', 'path' = '${ROWS}', 'format' = 'csv');
CREATE TABLE rates (k BIGINT, rate BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
  PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = '${RATES}', 'format' = 'csv');
CREATE VIEW g AS SELECT MOD(k, 7) AS a, k AS b, SUM(v) AS c FROM r GROUP BY MOD(k, 7), k;
";

/// What is asked of them: how many columns each has, named `a`, `b`, and so on.
const QUERIES: [(usize, &str); 11] = [
    // Top-N over changing rows, with ranks and without.
    (
        4,
        "SELECT * FROM (SELECT a, b, c, ROW_NUMBER() OVER (PARTITION BY a ORDER BY c DESC, b) AS d FROM g) \
         WHERE d <= 3",
    ),
    (
        3,
        "SELECT a, b, c FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY c, b) AS d FROM g) \
         WHERE d <= 4",
    ),
    // The least and the most of values that change.
    (3, "SELECT a, MIN(c), MAX(c) FROM g GROUP BY a"),
    // Rows as often as they are in both, or in one more than in the other.
    (1, "SELECT v FROM r WHERE k < 100 INTERSECT ALL SELECT v FROM r WHERE k >= 100"),
    (1, "SELECT v FROM r WHERE k < 100 EXCEPT ALL SELECT v FROM r WHERE k >= 100"),
    (4, "SELECT a, b, SUM(c), GROUPING_ID(a, b) FROM g GROUP BY GROUPING SETS ((a, b), (a), ())"),
    // Rows with those of the next minute, and those without any.
    (
        2,
        "SELECT l.id, r.id FROM (SELECT * FROM r WHERE v < 0) l FULL JOIN (SELECT * FROM r WHERE v > 0) r \
         ON l.k = r.k AND r.ts BETWEEN l.ts AND l.ts + INTERVAL '1' MINUTE",
    ),
    (
        2,
        "SELECT r.id, rates.rate FROM r LEFT JOIN rates FOR SYSTEM_TIME AS OF r.ts ON r.k = rates.k",
    ),
    (
        2,
        "SELECT id, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM r",
    ),
    (
        3,
        "SELECT id, COUNT(*) OVER w, MAX(v) OVER w FROM r WINDOW w AS (PARTITION BY k ORDER BY ts \
         RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW)",
    ),
    // The first row by event time, of each key and hour.
    (
        2,
        "SELECT id, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, HOUR(ts) ORDER BY ts) AS n FROM r) \
         WHERE n = 1",
    ),
];

/// A time of so many seconds.
fn time(second: u64) -> String {
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("2024-01-{:02} {hours:02}:{minutes:02}:{seconds:02}.000", 1 + days)
}

/// Rows with a key below 200 and a number around 0, in some disorder but never late, and versions of rates.
fn tables() -> [String; 2] {
    let mut state = 7u64;
    let mut below = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let [mut rows, mut rates] = [String::new(), String::new()];
    for id in 0..ROWS {
        // Four rows each come the last one first.
        let second = id / 4 * 4 + (3 - id % 4);
        let (key, value) = (below(200), below(101).cast_signed() - 50);
        writeln!(rows, "{id},{key},{value},{}", time(second)).expect("text");
        if id % VERSIONS == 0 {
            writeln!(rates, "{},{id},{}", below(200), time(id)).expect("text");
        }
    }
    [rows, rates]
}

/// A script of all queries, whose changes go to a directory for each.
fn script(scratch: &Scratch, name: &str, files: &[String; 2]) -> String {
    let mut script = TABLES.replace("${ROWS}", &files[0]).replace("${RATES}", &files[1]);
    let mut inserts = String::new();
    for (number, (columns, query)) in QUERIES.iter().enumerate() {
        let columns = names(*columns).replace(',', " BIGINT, ");
        let path = scratch.path(&format!("{name}-{number}"));
        script += &format!(
            "CREATE TABLE o{number} ({columns} BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', \
             'format' = 'changelog-json');\n"
        );
        inserts += &format!("INSERT INTO o{number} {query};\n");
    }
    script += &format!("EXECUTE STATEMENT SET BEGIN\n{inserts}END;\n");
    scratch.file("job.sql", script.as_bytes())
}

/// The names of so many columns.
fn names(columns: usize) -> String {
    ["a", "b", "c", "d"][..columns].join(",")
}

/// The rows that are left of each query.
fn all_left(scratch: &Scratch, name: &str) -> Vec<Vec<String>> {
    let of = |(number, (columns, _)): (usize, &(usize, &str))| {
        let path = scratch.path(&format!("{name}-{number}"));
        let rows = left(Path::new(&path), &names(*columns));
        fs::remove_dir_all(&path).expect("the sink's directory");
        rows
    };
    QUERIES.iter().enumerate().map(of).collect()
}

#[test]
fn what_was_killed_has_its_rows_in_order_and_their_counts_again() {
    library();
    let scratch = Scratch::new("changing");
    let [rows, rates] = tables();
    let files =
        [scratch.file("rows.csv", rows.as_bytes()), scratch.file("rates.csv", rates.as_bytes())];
    let job = script(&scratch, "whole", &files);
    let output = millstream(&["run", &job, "--parallelism", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let wanted = all_left(&scratch, "whole");
    for ((_, query), rows) in QUERIES.iter().zip(&wanted) {
        assert!(rows.len() >= 7, "{query}: {} rows", rows.len());
    }
    for backend in ["memory", "lsm"] {
        let job = script(&scratch, backend, &files);
        let checkpoints = scratch.path(&format!("checkpoints-{backend}"));
        // Barriers that overtake rows need not wait until the slowest operator has taken all that is buffered.
        let engine = ["--state", backend, "--set", "checkpoint.unaligned=true"];
        kill_and_rescale(backend, &job, &checkpoints, &engine);
        let found = all_left(&scratch, backend);
        for ((_, query), (found, wanted)) in QUERIES.iter().zip(found.iter().zip(&wanted)) {
            assert!(found == wanted, "{backend} {query}: {} of {}", found.len(), wanted.len());
        }
    }
}

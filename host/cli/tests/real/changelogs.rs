//! Queries that keep rows, and what is left of the changes that they make: Flink's own results.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{
    killed::kill_in_the_middle,
    program::{Scratch, millstream, stderr, stdout},
    sql::{expected, library, nexmark, result, script_to, unpacked},
};

/// Joins, groups, windows and Top-N of Nexmark.
const KEPT: [&str; 14] =
    ["q3", "q4", "q5", "q7", "q8", "q9", "q11", "q13", "q15", "q16", "q17", "q18", "q19", "q20"];

/// The rows that are left when all changes in the files of a directory are made, as lines of CSV, sorted.
/// Each row is there as often as it was inserted more than it was deleted.
pub(crate) fn left(directory: &Path, columns: &str) -> Vec<String> {
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    let files = fs::read_dir(directory).expect("the sink's directory").flatten();
    for file in files.filter(|file| !file.file_name().as_encoded_bytes().starts_with(b".")) {
        for line in fs::read_to_string(file.path()).expect("text").lines() {
            let change: Value = serde_json::from_str(line).expect("JSON");
            let text = |column: &str| match &change["data"][column] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let cells: Vec<String> = columns.split(',').map(text).collect();
            let by = match change["op"].as_str() {
                Some("+I" | "+U") => 1,
                Some("-U" | "-D") => -1,
                other => panic!("{other:?}"),
            };
            *rows.entry(cells.join(",")).or_default() += by;
        }
    }
    rows.into_iter()
        .flat_map(|(row, times)| {
            std::iter::repeat_n(row, usize::try_from(times).expect("none is missing"))
        })
        .collect()
}

/// The script of a query whose changes go to files, and Flink's columns.
fn script(query: &str, scratch: &Scratch, events: &str, out: &str) -> (String, String) {
    let sink = format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = 'changelog-json'");
    let side: String = (0..10_000).map(|k| format!("{k},v{}\n", k * 7919 % 10_007)).collect();
    let side = scratch.file("side_input.csv", side.as_bytes());
    let text = script_to(query, events, &sink).replace("${SIDE}", &side);
    let columns = result(query).lines().next().expect("a line of names").to_owned();
    (scratch.file("job.sql", text.as_bytes()), columns)
}

/// What one job writes another reads: rows with their kinds, which a third takes back.
#[test]
fn changelogs_are_read_as_they_were_written() {
    library();
    for format in ["changelog-json", "debezium-json"] {
        let scratch = Scratch::new(&format!("changelogs-read-{format}"));
        let out = scratch.path("out");
        let table = format!(
            "CREATE TABLE c (k STRING, n BIGINT, m INT) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' \
             = '{format}');\n"
        );
        let counts = "SELECT k, COUNT(*) AS n, MAX(m) AS m FROM (VALUES ('a', 1), ('b', 2), ('a', 3), (CAST(NULL AS \
                      STRING), 4), ('a', 2)) AS t (k, m) GROUP BY k";
        let run = |name: &str, statement: &str, output: &str| {
            let text = format!("{table}{statement};\n");
            let job = scratch.file(name, text.as_bytes());
            let done = millstream(&["run", &job, "--parallelism", "1", "--output", output]);
            assert!(done.status.success(), "{}", stderr(&done));
            stdout(&done)
        };
        let said = run("said.sql", counts, "changelog");
        run("write.sql", &format!("INSERT INTO c {counts}"), "csv");
        let mut read = run("read.sql", "SELECT * FROM c", "changelog");
        if format == "debezium-json" {
            // An update is written as two changes, as Flink does.
            read = read
                .replace("-D[", "-U[")
                .replace("+I[a, 2", "+U[a, 2")
                .replace("+I[a, 3", "+U[a, 3");
        }
        assert_eq!(read, said, "{format}");
        let sums = run("sums.sql", "SELECT SUM(n) AS n, SUM(m) AS m, COUNT(*) AS c FROM c", "csv");
        assert_eq!(sums, "n,m,c\n5,9,3\n", "{format}");
    }
}

#[test]
fn nexmark_of_all_rows_gives_flinks_rows() {
    library();
    let scratch = Scratch::new("changelogs-nexmark");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    for query in KEPT {
        for engine in [
            &["--parallelism", "1"][..],
            &["--parallelism", "2", "--state", "lsm", "--set", "memory.segment-size=4KiB"],
            &["--parallelism", "2", "--processes", "2"],
        ] {
            let out = scratch.path("out");
            let (file, columns) = script(query, &scratch, &events, &out);
            let output = millstream(&[&["run", &file], engine].concat());
            assert!(output.status.success(), "{query} {engine:?}: {}", stderr(&output));
            let (rows, wanted) = (left(Path::new(&out), &columns), expected(query));
            assert!(rows == wanted, "{query} {engine:?}: {} of {}", rows.len(), wanted.len());
            fs::remove_dir_all(&out).expect("the sink's directory");
        }
    }
}

/// State in memory and aligned barriers.
const ALIGNED: &[&str] = &[];
/// State in files.
const LSM: &[&str] = &["--state", "lsm"];
/// And barriers that overtake rows, which are then part of the checkpoint.
const UNALIGNED: &[&str] = &["--state", "lsm", "--set", "checkpoint.unaligned=true"];

#[test]
fn what_a_killed_script_kept_is_there_again() {
    library();
    let scratch = Scratch::new("changelogs-killed");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    let (checkpoints, out) = (scratch.path("checkpoints"), scratch.path("out"));
    for (query, more) in KEPT.iter().zip([ALIGNED, LSM, UNALIGNED].iter().cycle()) {
        let (file, columns) = script(query, &scratch, &events, &out);
        kill_in_the_middle(query, &file, &checkpoints, more);
        let (rows, wanted) = (left(Path::new(&out), &columns), expected(query));
        assert!(rows == wanted, "{query} {more:?}: {} rows of {}", rows.len(), wanted.len());
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
}

/// Queries over a small table, and the rows that are left in the end.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "SELECT k, COUNT(*), COUNT(n), SUM(n), AVG(n), MIN(n), MAX(n) FROM t GROUP BY k",
        &[",1,1,7,7,7,7", "a,3,2,3,1,1,2", "b,2,2,10,5,5,5"],
    ),
    (
        "SELECT k, SUM(d), AVG(d), MIN(s), MAX(s), SUM(f), AVG(f) FROM t GROUP BY k",
        &[",7.00,7.000000,,,0.0,0.0", "a,3.30,1.650000,x,y,2.0,1.0", "b,5.55,5.550000,z,z,2.5,2.5"],
    ),
    (
        "SELECT k, COUNT(DISTINCT n), SUM(DISTINCT n), COUNT(*) FILTER (WHERE n > 1) FROM t GROUP BY k",
        &[",1,7,1", "a,2,3,1", "b,1,5,2"],
    ),
    ("SELECT k, s FROM t GROUP BY k, s", &[",", "a,", "a,x", "a,y", "b,z"]),
    ("SELECT DISTINCT n FROM t", &["", "1", "2", "5", "7"]),
    ("SELECT k FROM t GROUP BY k HAVING COUNT(*) > 1", &["a", "b"]),
    ("SELECT SUM(n), MAX(s) FROM t", &["20,z"]),
    // Without a row there is no group, not even that of all rows: a stream may have one later.
    ("SELECT COUNT(*) FROM t WHERE n > 100", &[]),
    // Groups of groups: what came first is taken back when it changes.
    (
        "SELECT c, COUNT(*), SUM(total), COUNT(DISTINCT total) FROM (SELECT k, COUNT(*) AS c, SUM(n) AS \
         total FROM t GROUP BY k) GROUP BY c",
        &["1,1,7,1", "2,1,10,1", "3,1,3,1"],
    ),
    // NULL is equal to nothing.
    (
        "SELECT t.n, g.c FROM t JOIN (SELECT k, COUNT(*) AS c FROM t GROUP BY k) g ON t.k = g.k",
        &[",3", "1,3", "2,3", "5,2", "5,2"],
    ),
    (
        "SELECT l.n, r.n FROM t l JOIN t r ON l.n = r.n AND l.k < r.s",
        &["1,1", "2,2", "5,5", "5,5", "5,5", "5,5"],
    ),
    (
        "SELECT k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC) AS rn FROM t) \
         WHERE rn = 1",
        &[",7", "a,2", "b,5"],
    ),
    (
        "SELECT rn, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n) AS rn FROM t) WHERE rn <= 3",
        &["1,", "2,1", "3,2"],
    ),
];

#[test]
fn what_is_left_of_all_changes() {
    library();
    let scratch = Scratch::new("changelogs-queries");
    let rows = "a,1,1.10,0.5,x\na,2,2.20,1.5,y\na,,,,\nb,5,5.55,2.5,z\nb,5,,,z\n,7,7.00,0.0,\n";
    let rows = scratch.file("rows.csv", rows.as_bytes());
    for (query, wanted) in QUERIES {
        let text = format!(
            "CREATE TABLE t (k STRING, n INT, d DECIMAL(10, 2), f DOUBLE, s STRING) WITH ('connector' = \
             'filesystem', 'path' = '{rows}', 'format' = 'csv', 'csv.null-literal' = '');\n{query}"
        );
        let file = scratch.file("job.sql", text.as_bytes());
        for engine in [&["--parallelism", "1"][..], &["--parallelism", "2", "--state", "lsm"]] {
            let output = millstream(&[&["run", &file, "--output", "csv"], engine].concat());
            assert!(output.status.success(), "{query}: {}", stderr(&output));
            let printed = stdout(&output);
            let mut rows: Vec<&str> = printed.lines().skip(1).collect();
            rows.sort_unstable();
            assert_eq!(rows, *wanted, "{query}");
        }
    }
}

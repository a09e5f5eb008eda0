//! Scripts in Flink's SQL, and Flink's own results.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    killed::kill_in_the_middle,
    program::{Scratch, build_library, millstream, root, stderr, stdout},
};

/// Queries that need no state.
const STATELESS: [&str; 6] = ["q0", "q1", "q2", "q14", "q21", "q22"];

pub(crate) fn nexmark() -> PathBuf {
    root().join("host/cli/tests/nexmark")
}

pub(crate) fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).expect("a file");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    text
}

/// Flink's rows for a query, sorted.
pub(crate) fn expected(query: &str) -> Vec<String> {
    result(query).lines().skip(1).map(str::to_owned).collect()
}

/// Flink's result for a query: a line with the names of the columns, and sorted rows.
pub(crate) fn result(query: &str) -> String {
    let plain = nexmark().join(format!("expected/{query}.csv"));
    match plain.exists() {
        true => fs::read_to_string(plain).expect("text"),
        false => unpacked(&plain.with_extension("csv.gz")),
    }
}

/// The rows of all files in a directory, sorted. What a run that was killed had not shown is hidden.
pub(crate) fn written(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).expect("the sink's directory").flatten();
    let files = files.filter(|file| !file.file_name().as_encoded_bytes().starts_with(b"."));
    let texts = files.map(|file| fs::read_to_string(file.path()).expect("text"));
    let mut rows: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    rows.sort();
    rows
}

/// The script of a query over these events, that writes CSV.
fn script(query: &str, events: &str, out: &str) -> String {
    let sink = format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv'");
    script_to(query, events, &sink)
}

/// The script of a query over these events.
pub(crate) fn script_to(query: &str, events: &str, sink: &str) -> String {
    let read = |name: &str| {
        let path = nexmark().join("queries").join(name).with_extension("sql");
        fs::read_to_string(path).expect("a query")
    };
    let text = read("ddl").replace("${EVENTS}", events) + "\n" + &read(query);
    text.replace("${SINK}", sink)
}

pub(crate) fn library() {
    build_library("millstream-sql");
}

#[test]
fn nexmark_gives_flinks_rows() {
    library();
    let scratch = Scratch::new("sql-nexmark");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    for query in STATELESS {
        for engine in [
            &["--parallelism", "1"][..],
            &["--parallelism", "2", "--set", "memory.segment-size=4KiB"],
            &["--parallelism", "2", "--processes", "2"],
        ] {
            let out = scratch.path("out");
            let file = scratch.file("job.sql", script(query, &events, &out).as_bytes());
            let output = millstream(&[&["run", &file], engine].concat());
            assert!(output.status.success(), "{query} {engine:?}: {}", stderr(&output));
            assert_eq!(written(Path::new(&out)), expected(query), "{query} {engine:?}");
            fs::remove_dir_all(&out).expect("the sink's directory");
        }
    }
}

/// The rows of all files in the directories of partitions, with the values that name these.
fn partitioned(directory: &Path, values: &[String], rows: &mut Vec<String>, marks: &mut usize) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().expect("UTF-8"));
        if path.is_dir() {
            let value = name.split_once('=').expect("key=value").1.replace("%3A", ":");
            partitioned(&path, &[values, &[value]].concat(), rows, marks);
        } else if name == "_SUCCESS" {
            *marks += 1;
        } else {
            assert_eq!(values.len(), 2, "{}", path.display());
            let text = fs::read_to_string(&path).expect("text");
            rows.extend(text.lines().map(|line| format!("{line},{}", values.join(","))));
        }
    }
}

#[test]
fn a_sink_that_is_partitioned_has_flinks_directories() {
    library();
    let scratch = Scratch::new("sql-partitioned");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    let checkpoints = scratch.path("checkpoints");
    for engine in [
        &["--parallelism", "1"][..],
        &["--parallelism", "2", "--processes", "2"],
        &["--parallelism", "2", "--checkpoint-dir", &checkpoints, "--checkpoint-interval", "5ms"],
    ] {
        let out = scratch.path("out");
        let text = script("q10", &events, "").replace("${FILES}", &out);
        let file = scratch.file("job.sql", text.as_bytes());
        let output = millstream(&[&["run", &file], engine].concat());
        assert!(output.status.success(), "{engine:?}: {}", stderr(&output));
        let (mut rows, mut marks) = (Vec::new(), 0);
        partitioned(&Path::new(&out).join("q10"), &[], &mut rows, &mut marks);
        rows.sort();
        assert!(rows == expected("q10"), "{engine:?}: {} rows", rows.len());
        let minutes: std::collections::BTreeSet<_> =
            rows.iter().map(|row| row.rsplitn(3, ',').take(2).collect::<Vec<_>>()).collect();
        assert_eq!(marks, minutes.len(), "each partition is marked, once");
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
}

#[test]
fn a_script_that_is_killed_goes_on_from_its_checkpoint() {
    library();
    let scratch = Scratch::new("sql-killed");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    let checkpoints = scratch.path("checkpoints");
    for query in STATELESS {
        let out = scratch.path("out");
        let file = scratch.file("job.sql", script(query, &events, &out).as_bytes());
        kill_in_the_middle(query, &file, &checkpoints, &[]);
        let (rows, all) = (written(Path::new(&out)), expected(query));
        assert!(rows == all, "{query}: {} rows of {}", rows.len(), all.len());
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
    let out = scratch.path("out");
    let text = script("q10", &events, "").replace("${FILES}", &out);
    let file = scratch.file("job.sql", text.as_bytes());
    kill_in_the_middle("q10", &file, &checkpoints, &[]);
    let (mut rows, mut marks) = (Vec::new(), 0);
    partitioned(&Path::new(&out).join("q10"), &[], &mut rows, &mut marks);
    rows.sort();
    assert!(rows == expected("q10"), "q10: {} rows", rows.len());
}

/// What an expression is, and of which type, over one row of a table.
const EXPRESSIONS: &[(&str, &str)] = &[
    // Whole numbers: division toward zero, overflow wraps, MOD has the sign of the first.
    ("7 / 2", "3"),
    ("-7 / 2", "-3"),
    ("MOD(-7, 3)", "-1"),
    ("-7 % 3", "-1"),
    ("i + 2147483647", "-2147483642"),
    ("CAST(i AS BIGINT) * 2147483647", "15032385529"),
    ("CAST(300 AS TINYINT)", "44"),
    ("CAST(3.99 AS INT)", "3"),
    ("CAST(CAST(-3.99 AS DOUBLE) AS BIGINT)", "-3"),
    ("CAST(1e20 AS INT)", "2147483647"),
    // Decimals: exact, rounded half up where a scale ends.
    ("i * 0.908", "6.356"),
    ("CAST(2.345 AS DECIMAL(5, 2))", "2.35"),
    ("CAST(-2.345 AS DECIMAL(5, 2))", "-2.35"),
    ("CAST(12345.6 AS DECIMAL(5, 2)) IS NULL", "true"),
    ("1.0 / 3", "0.333333333333"),
    ("0.1 + 0.25", "0.35"),
    ("CAST(7 AS DECIMAL(10, 2)) / CAST(2 AS DECIMAL(10, 2))", "3.5000000000000"),
    ("7.5 % 2", "1.5"),
    ("ABS(-2.5)", "2.5"),
    ("FLOOR(-2.5)", "-3"),
    ("CEIL(2.1)", "3"),
    // NULL: three values of truth.
    ("n IS NULL", "true"),
    ("n = n IS NULL", "true"),
    ("n IS NOT DISTINCT FROM NULL", "true"),
    ("(n = 1 OR i = 7) AND NOT (n = 1 AND i = 8)", "true"),
    ("i NOT IN (1, 2, NULL) IS NULL", "true"),
    ("COALESCE(n, i, 3)", "7"),
    ("NULLIF(i, 7) IS NULL", "true"),
    ("IF(i > 5, 'large', 'small')", "large"),
    ("CASE i WHEN 6 THEN 'six' WHEN 7 THEN 'seven' END", "seven"),
    ("CASE WHEN i < 0 THEN 1 END IS NULL", "true"),
    // Text: positions from 1, in characters.
    ("SUBSTRING(s FROM 2 FOR 3)", "rüß"),
    ("SUBSTRING(s, -2)", "ße"),
    ("CHAR_LENGTH(s)", "5"),
    ("UPPER('abc') || LOWER('DEF')", "ABCdef"),
    ("CONCAT_WS('-', 'a', CAST(NULL AS STRING), 'b')", "a-b"),
    ("POSITION('ß' IN s)", "4"),
    ("REPLACE('banana', 'an', 'o')", "booa"),
    ("SPLIT_INDEX('a/b/c', '/', 1)", "b"),
    ("SPLIT_INDEX('a/b/c', '/', 3) IS NULL", "true"),
    ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar"),
    ("REGEXP_EXTRACT('abc', 'x(y)', 1) IS NULL", "true"),
    ("REGEXP_REPLACE('foobar', 'oo|ar', '$1')", "f$1b$1"),
    ("REGEXP('abc', 'b.')", "true"),
    ("TRIM('  x ') || '|'", "x|"),
    ("TRIM(LEADING 'xy' FROM 'xyxab')", "ab"),
    ("LEFT(s, 2) || RIGHT(s, 1) || REPEAT('o', 2) || REVERSE('ab')", "greooba"),
    ("s LIKE 'g%_e'", "true"),
    ("'a_c' LIKE 'a\\_c'", "false"),
    ("'a_c' LIKE 'a\\_c' ESCAPE '\\'", "true"),
    ("CAST('abcdef' AS VARCHAR(3))", "abc"),
    ("CAST('a' AS CHAR(3)) || '|'", "a  |"),
    ("CAST(' 42 ' AS INT)", "42"),
    ("TRY_CAST('x' AS INT) IS NULL", "true"),
    ("CAST(TRUE AS STRING)", "TRUE"),
    ("CAST(CAST(1 AS DOUBLE) AS STRING)", "1.0"),
    ("CAST(t AS STRING)", "2026-03-09 14:05:07.012"),
    // Time.
    ("DATE_FORMAT(t, 'yyyy-MM-dd HH:mm')", "2026-03-09 14:05"),
    ("HOUR(t)", "14"),
    ("EXTRACT(DAY FROM t)", "9"),
    ("DAYOFWEEK(t)", "2"),
    ("QUARTER(t)", "1"),
    ("t + INTERVAL '1' DAY", "2026-03-10 14:05:07.012"),
    ("t - INTERVAL '0.512' SECOND", "2026-03-09 14:05:06.500"),
    ("t + INTERVAL '1-1' YEAR TO MONTH", "2027-04-09 14:05:07.012"),
    ("t > '2026-03-09 00:00:00'", "true"),
    ("t BETWEEN TIMESTAMP '2026-03-09 14:05:07' AND TIMESTAMP '2026-03-09 14:05:08'", "true"),
    ("CAST(t AS DATE)", "2026-03-09"),
    ("CAST(t AS TIMESTAMP(0))", "2026-03-09 14:05:07"),
    ("TO_TIMESTAMP('2026-01-02 03:04:05')", "2026-01-02 03:04:05.000"),
    ("DATE '2026-01-02' < CAST(t AS DATE)", "true"),
];

#[test]
fn expressions_have_flinks_values() {
    library();
    let scratch = Scratch::new("sql-expressions");
    let row = scratch.file("row.csv", "7,,grüße,2026-03-09 14:05:07.012\n".as_bytes());
    let selected: Vec<&str> = EXPRESSIONS.iter().map(|(expression, _)| *expression).collect();
    let text = format!(
        "CREATE TABLE one (i INT, n INT, s STRING, t TIMESTAMP(3)) WITH ('connector' = 'filesystem', \
         'path' = '{row}', 'format' = 'csv');\nSELECT {} FROM one",
        selected.join(", ")
    );
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    let values: Vec<&str> = printed.lines().nth(1).expect("a row").split(',').collect();
    assert_eq!(values.len(), EXPRESSIONS.len(), "{printed}");
    for ((expression, expected), found) in EXPRESSIONS.iter().zip(values) {
        assert_eq!(found, *expected, "{expression}");
    }
}

#[test]
fn a_mistake_is_underlined_and_nothing_is_run() {
    library();
    let scratch = Scratch::new("sql-mistake");
    let text = "CREATE TABLE t (price INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');\n\
                SELECT pricd FROM t;\n";
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes())]);
    assert!(!output.status.success() && stdout(&output).is_empty());
    let said = stderr(&output);
    assert!(said.contains("there is no column `pricd`: did you mean `price`?"), "{said}");
    assert!(said.contains("2 | SELECT pricd FROM t;\n  |        ^^^^^"), "{said}");
}

#[test]
fn a_row_that_does_not_fit_ends_the_job_with_one_error() {
    library();
    let scratch = Scratch::new("sql-row");
    let rows = scratch.file("rows.csv", b"1,a\n0,b\n,c\n");
    for (query, expected) in [
        ("SELECT 10 / i FROM t WHERE i IS NOT NULL", "division by zero"),
        ("SELECT CAST(s AS INT) FROM t", "the text 'a' is no INT: TRY_CAST gives NULL instead"),
        ("INSERT INTO required SELECT i FROM t", "NULL in the column `i`, which is NOT NULL"),
    ] {
        let text = format!(
            "CREATE TABLE t (i INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '{rows}', \
             'format' = 'csv');\nCREATE TABLE required (i INT NOT NULL) WITH ('connector' = \
             'blackhole');\n{query};"
        );
        let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes())]);
        let said = stderr(&output);
        assert!(!output.status.success() && stdout(&output).is_empty(), "{query}: {said}");
        assert!(said.contains(expected), "{query}: {said}");
    }
}

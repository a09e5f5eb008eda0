//! What a table says of its columns, of rows that are written: the lines are Flink's own.

use crate::{
    program::{Scratch, millstream, stderr, stdout},
    sql::library,
};

const TEXTS: &str = "a,a\nabcd,abcd\n,\nabc,abc\n";
const BYTES: &str = r#"{"a":"AQ==","b":"AQ=="}
{"a":"AQIDBA==","b":"AQIDBA=="}
{"a":null,"b":null}
"#;

/// What a script says behind these settings: on standard output, and why it failed, if it did. Its tables `texts` and
/// `bytes` have columns `a` and `b` of three characters or bytes, each row of which is in a file as above.
fn said(name: &str, settings: &str, script: &str) -> (String, Option<String>) {
    library();
    let scratch = Scratch::new(&format!("enforced-{name}"));
    let texts = scratch.file("texts.csv", TEXTS.as_bytes());
    let bytes = scratch.file("bytes.json", BYTES.as_bytes());
    let text = format!(
        "CREATE TABLE texts (a CHAR(3), b VARCHAR(3)) WITH ('connector' = 'filesystem', 'path' = '{texts}', 'format' \
         = 'csv', 'csv.null-literal' = '');
         CREATE TABLE bytes (a BINARY(3), b VARBINARY(3)) WITH ('connector' = 'filesystem', 'path' = '{bytes}', \
         'format' = 'json');
         {settings}
         {script}"
    );
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes()), "-p", "1"]);
    let failed = (!output.status.success()).then(|| stderr(&output));
    (stdout(&output), failed)
}

#[test]
fn texts_and_bytes_have_the_lengths_of_their_columns_where_that_was_set() {
    let into = |of: &str, types: &str| {
        format!(
            "CREATE TABLE o (a {}) WITH ('connector' = 'print'); INSERT INTO o SELECT a, b FROM {of};",
            types.replace('|', ", b")
        )
    };
    let texts = into("texts", "CHAR(3) | VARCHAR(3)");
    let bytes = into("bytes", "BINARY(3) | VARBINARY(3)");
    let ignored = "SET 'table.exec.sink.type-length-enforcer' = 'IGNORE';";
    let fitted = "SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';";
    for settings in ["", ignored] {
        let (printed, failed) = said("ignored", settings, &texts);
        assert_eq!(printed, "+I[a, a]\n+I[abcd, abcd]\n+I[null, null]\n+I[abc, abc]\n");
        assert_eq!(failed, None);
    }
    let (printed, _) = said("texts", fitted, &texts);
    assert_eq!(printed, "+I[a  , a]\n+I[abc, abc]\n+I[null, null]\n+I[abc, abc]\n");
    let (printed, _) = said("bytes", fitted, &bytes);
    assert_eq!(printed, "+I[[1, 0, 0], [1]]\n+I[[1, 2, 3], [1, 2, 3]]\n+I[null, null]\n");
}

#[test]
fn other_lengths_fail_the_job_where_that_was_set() {
    let checked = "SET 'table.exec.sink.type-length-enforcer' = 'ERROR';
        CREATE TABLE t (a CHAR(3), b VARCHAR(3)) WITH ('connector' = 'print');
        CREATE TABLE y (a BINARY(3), b VARBINARY(3)) WITH ('connector' = 'print');
        CREATE TABLE z (b VARBINARY(3)) WITH ('connector' = 'print');";
    for (insert, expected) in [
        (
            "t SELECT a, b FROM texts WHERE a = 'a'",
            "has 1 character in the column `a`, which is CHAR(3): SET",
        ),
        (
            "t SELECT a, b FROM texts WHERE a = 'abcd'",
            "has 4 characters in the column `a`, which is CHAR(3): SET",
        ),
        (
            "t SELECT 'abc', b FROM texts",
            "has 4 characters in the column `b`, which is VARCHAR(3): SET",
        ),
        ("y SELECT a, b FROM bytes", "has 1 byte in the column `a`, which is BINARY(3): SET"),
        ("z SELECT b FROM bytes", "has 4 bytes in the column `b`, which is VARBINARY(3): SET"),
    ] {
        let (_, failed) = said("checked", checked, &format!("INSERT INTO {insert};"));
        let failed = failed.unwrap_or_default();
        assert!(failed.contains(expected), "{insert}: {failed}");
    }
    let (printed, failed) = said(
        "fits",
        checked,
        "INSERT INTO t SELECT 'abc', b FROM texts WHERE a = 'a' OR a IS NULL;",
    );
    assert_eq!((printed.as_str(), failed), ("+I[abc, a]\n+I[abc, null]\n", None));
}

#[test]
fn rows_without_a_value_that_must_be_there_fail_the_job_or_are_left_out() {
    let tables = "CREATE TABLE o (a STRING NOT NULL, b STRING) WITH ('connector' = 'print');
        CREATE TABLE k (b STRING, n BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'print');";
    let dropped = format!("SET 'table.exec.sink.not-null-enforcer' = 'drop'; {tables}");
    let rows = "INSERT INTO o SELECT a, b FROM texts;";
    let counted = "INSERT INTO k SELECT b, COUNT(*) FROM (SELECT b FROM texts UNION ALL SELECT a FROM texts) GROUP BY b;";
    for (script, column) in [(rows, "`a`"), (counted, "`b`")] {
        let (_, failed) = said("nulls", tables, script);
        let failed = failed.unwrap_or_default();
        let expected =
            format!("has NULL in the column {column}, which is NOT NULL: filter such rows");
        assert!(failed.contains(&expected), "{script}: {failed}");
    }
    let (printed, failed) = said("dropped", &dropped, rows);
    assert_eq!((printed.as_str(), failed), ("+I[a, a]\n+I[abcd, abcd]\n+I[abc, abc]\n", None));
    let (printed, _) = said("dropped-groups", &dropped, counted);
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    let expected = "+I[a, 1] +I[abc, 1] +I[abcd, 1] +U[a, 2] +U[abc, 2] +U[abcd, 2] -U[a, 1] -U[abc, 1] -U[abcd, 1]";
    assert_eq!(lines.join(" "), expected);
}

//! The forms in which a result is printed, and sinks that take changes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{
    program::{Scratch, build_library, millstream, stderr, stdout},
    sql::library,
};

/// Runs the job that counts these words, one after the other.
fn counted(words: &str, arguments: &[&str]) -> Result<String, String> {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| build_library("changelog"));
    let library = library.to_str().expect("a UTF-8 path");
    // With `=`, since words may begin with a dash.
    let words = format!("--words={words}");
    let ran = millstream(&[&["run", library, "-p", "1", &words], arguments].concat());
    if ran.status.success() { Ok(stdout(&ran)) } else { Err(stderr(&ran)) }
}

const WORDS: &str = "the mill the stream -mill the";

#[test]
fn a_changelog_is_printed_in_every_form() {
    for (output, expected) in [
        ("csv", "word,count\nstream,1\nthe,3\n"),
        ("json", "{\"word\":\"stream\",\"count\":1}\n{\"word\":\"the\",\"count\":3}\n"),
        (
            "table",
            "\
+--------+-------+
| word   | count |
+--------+-------+
| stream |     1 |
| the    |     3 |
+--------+-------+
2 rows in set
",
        ),
        (
            "changelog",
            "\
+I[the, 1]
+I[mill, 1]
-U[the, 1]
+U[the, 2]
+I[stream, 1]
-D[mill, 1]
-U[the, 2]
+U[the, 3]
",
        ),
        ("none", ""),
    ] {
        assert_eq!(counted(WORDS, &["--output", output]).as_deref(), Ok(expected), "{output}");
    }
    let said = counted(WORDS, &["--output", "xml"]).expect_err("there is no such form");
    assert!(said.contains("it is csv, json, table, changelog, live or none"), "{said}");
}

#[test]
fn a_row_that_goes_without_having_come_is_an_error() {
    let said = counted("the -mill", &[]).expect_err("mill never came");
    let expected = "a change takes a row from the result that is not there: -D[mill, 0]";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn sinks_take_changes() {
    let printed = counted("a a", &["--sink", "print"]);
    assert_eq!(printed.as_deref(), Ok("+I[a, 1]\n-U[a, 1]\n+U[a, 2]\n"));
    assert_eq!(counted("a a", &["--sink", "blackhole"]).as_deref(), Ok(""));
    let scratch = Scratch::new("changes");
    let out = scratch.path("out");
    let files = |format: &str| {
        counted("a a", &["--sink", "filesystem", "--out", &out, "--out-format", format])
    };
    let said = files("csv").expect_err("it has no kinds");
    assert!(said.contains("use changelog-json or debezium-json"), "{said}");
    files("changelog-json").expect("the job runs");
    let mut written = fs::read_dir(&out).expect("the directory").flatten();
    let text = fs::read_to_string(written.next().expect("a file").path()).expect("text");
    let expected = concat!(
        "{\"data\":{\"word\":\"a\",\"count\":1},\"op\":\"+I\"}\n",
        "{\"data\":{\"word\":\"a\",\"count\":1},\"op\":\"-U\"}\n",
        "{\"data\":{\"word\":\"a\",\"count\":2},\"op\":\"+U\"}\n",
    );
    assert_eq!(text, expected);
}

/// Nobody would see the rows that are left when an input without an end has ended.
#[test]
fn what_follows_from_an_input_without_an_end_is_printed_as_it_comes() {
    library();
    let scratch = Scratch::new("endless");
    let script = scratch.file(
        "job.sql",
        b"CREATE TABLE t (k INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'fields.k.min' = '1', \
          'fields.k.max' = '1');\
          SELECT k, COUNT(*) FROM t GROUP BY k;",
    );
    let first = |output: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.arg("run").arg(&script).args(output);
        let mut run =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let lines = BufReader::new(run.stdout.take().expect("its output")).lines();
        let lines: Vec<String> = lines.take(4).map(|line| line.expect("a line")).collect();
        run.kill().expect("it runs without an end");
        run.wait().expect("it ends");
        lines
    };
    assert_eq!(first(&[]), ["+I[1, 1]", "-U[1, 1]", "+U[1, 2]", "-U[1, 2]"]);
    let table = first(&["--output", "live"]);
    assert!(table[1].starts_with("| k | "), "{table:?}");
    assert!(table[3].starts_with("| 1 | "), "{table:?}");
}

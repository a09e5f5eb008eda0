//! Scripts that are changed between two runs.

use std::path::Path;

use crate::{
    killed::{Run, When, kill, newest},
    program::{Scratch, millstream, stderr, stdout},
    sql::library,
};

const TABLE: &str = "CREATE TABLE t (k INT, v INT) WITH ('connector' = 'filesystem', 'path' = '${T}', \
                     'format' = 'csv');\n";

#[test]
fn a_script_that_was_changed_is_told_which_state_does_not_fit() {
    library();
    let scratch = Scratch::new("changed");
    let rows: String = (0..200).map(|row| format!("{},{row}\n", row % 3)).collect();
    let table = TABLE.replace("${T}", &scratch.file("t.csv", rows.as_bytes()));
    let script = |query: &str| scratch.file("job.sql", format!("{table}{query};").as_bytes());
    let checkpoints = scratch.path("checkpoints");
    let slow = ["--checkpoint-interval", "1ms", "--set", "source.rows-per-second=100"];
    let first = script("SELECT k, COUNT(*) FROM t GROUP BY k");
    let arguments = [&["run", &first, "-p", "1", "--checkpoint-dir", &checkpoints][..], &slow];
    let arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
    let mut run = Run::start(&arguments);
    assert!(run.wait(&When::Complete(2), Path::new(&checkpoints)), "it is not over so soon");
    kill(run.child.id() as i32);
    run.finish();
    let last = format!("{checkpoints}/sql/chk-{}", newest(Path::new(&checkpoints)));

    let restored = |query: &str| {
        let elsewhere = scratch.path("elsewhere");
        let script = script(query);
        let kept = ["--checkpoint-dir", &elsewhere, "--restore", &last];
        millstream(&[&["run", &script, "-p", "1"], &kept[..]].concat())
    };
    // COUNT and SUM keep as many bytes.
    let said = stderr(&restored("SELECT k, SUM(v) FROM t GROUP BY k"));
    assert!(said.contains("has state of operators that the job does not have"), "{said}");
    assert!(said.contains("[Aggregate by [k] [COUNT(*)] #"), "{said}");
    assert!(said.contains("it has [source t, "), "{said}");
    assert!(said.contains("Aggregate by [k] [SUM(v)] #"), "{said}");
    // Another name of a result changes nothing that is kept.
    let ran = restored("SELECT k, COUNT(*) AS n FROM t GROUP BY k");
    let printed = stdout(&ran);
    let mut rows: Vec<&str> = printed.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, ["0,67", "1,67", "2,66", "k,n"], "{}", stderr(&ran));
}

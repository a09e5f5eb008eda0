//! What is written of updates to tables that know their rows by a key.

use crate::{
    program::{Scratch, millstream, stderr, stdout},
    sql::library,
};

/// What a script of this name says whose rows `t` are, `b,n` a line: on standard output, and on standard error.
fn said(name: &str, rows: &str, script: &str) -> [String; 2] {
    library();
    let scratch = Scratch::new(&format!("upserts-{name}"));
    let path = scratch.file("t.csv", rows.as_bytes());
    let text = format!(
        "CREATE TABLE t (b STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv');\n\
         {script}"
    );
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes()), "-p", "1"]);
    assert!(output.status.success(), "{text}: {}", stderr(&output));
    [stdout(&output), stderr(&output)]
}

/// Flink's own lines: the one that came last stands for all with its key, and the one before it when that has gone.
#[test]
fn of_rows_with_one_key_the_last_is_printed() {
    let script = "CREATE TABLE p (b STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
        INSERT INTO p SELECT b, SUM(n) FROM t GROUP BY b ON CONFLICT DO DEDUPLICATE;";
    let [printed, _] = said("last", "a,1\nb,1\na,1\nb,1\nc,3\na,1\n", script);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines,
        ["+I[a, 1]", "+U[b, 1]", "+I[a, 2]", "-D[b, 1]", "+U[b, 2]", "+I[c, 3]", "+U[a, 3]"]
    );
    let [printed, _] = said("last", "a,1\nb,1\nb,1\nc,2\nb,-1\na,1\na,-1\n", script);
    let expected = "+I[a, 1]\n+U[b, 1]\n+U[a, 1]\n+I[b, 2]\n+U[c, 2]\n+U[b, 1]\n+U[a, 2]\n+U[c, 2]\n+U[a, 1]\n";
    assert_eq!(printed, expected);
}

/// Flink's own lines, where no watermark comes before the end: what came and went is no conflict then, and of the rows
/// that are left the first one stays.
#[test]
fn of_rows_with_one_key_the_first_is_printed_or_the_job_fails() {
    let script = |what: &str| {
        format!(
            "CREATE TABLE p (b STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
             INSERT INTO p SELECT b, SUM(n) FROM t GROUP BY b ON CONFLICT DO {what};"
        )
    };
    let printed = |name: &str, what: &str, rows: &str| {
        let [printed, _] = said(name, rows, &script(what));
        let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines.join(" ")
    };
    let conflict = "a,1\nb,1\na,1\nb,1\nc,3\na,1\n";
    assert_eq!(printed("first", "NOTHING", conflict), "+I[b, 2] +I[c, 3]");
    let apart = "a,1\nb,1\na,1\nb,1\nc,3\na,2\n";
    for what in ["NOTHING", "ERROR"] {
        assert_eq!(printed("apart", what, apart), "+I[a, 4] +I[b, 2] +I[c, 3]");
    }
    let scratch = Scratch::new("upserts-error");
    let path = scratch.file("t.csv", conflict.as_bytes());
    let text = format!(
        "CREATE TABLE t (b STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv');
         {}",
        script("ERROR")
    );
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes()), "-p", "2"]);
    let failed = stderr(&output);
    let expected = "two rows of the query have one PRIMARY KEY [n] of the table `p`: ON CONFLICT DO NOTHING writes the \
                    first one, DO DEDUPLICATE the last one";
    assert!(!output.status.success() && failed.contains(expected), "{failed}");
}

/// Three groups of six rows: what they were before is printed, and not dropped.
#[test]
fn who_knows_rows_by_their_key_gets_them_as_they_are_now() {
    let into = |connector: &str| {
        format!(
            "CREATE TABLE o (b STRING, n BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ({connector});
             INSERT INTO o SELECT b, SUM(n) FROM t GROUP BY b;"
        )
    };
    let rows = "a,1\nb,1\na,1\nb,1\nc,3\na,1\n";
    let [printed, _] = said("known", rows, &into("'connector' = 'print'"));
    assert_eq!(printed.lines().count(), 9, "{printed}");
    let [_, dropped] = said("known", rows, &into("'connector' = 'blackhole', 'summary' = 'true'"));
    assert!(dropped.contains("blackhole: 6 rows dropped"), "{dropped}");
    let several = "CREATE TABLE r (n BIGINT) WITH ('connector' = 'blackhole', 'summary' = 'true');
        INSERT INTO r SELECT n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY b ORDER BY n) AS k FROM t) WHERE k = 1;";
    let [_, dropped] = said("known", "a,3\na,2\na,1\n", several);
    assert!(dropped.contains("blackhole: 3 rows dropped"), "{dropped}");
}

/// Six rows that are at hand together are three groups, each said once; three at a time they are five.
#[test]
fn what_rows_at_hand_change_is_said_together() {
    let script = |phases: &str, size: u8| {
        format!(
            "SET 'table.exec.mini-batch.enabled' = 'true'; SET 'table.exec.mini-batch.size' = '{size}';
             SET 'table.optimizer.agg-phase-strategy' = '{phases}';
             CREATE TABLE o (b STRING, n BIGINT) WITH ('connector' = 'print');
             INSERT INTO o SELECT b, SUM(n) FROM t GROUP BY b;"
        )
    };
    let rows = "a,1\nb,1\na,1\nb,1\nc,3\na,1\n";
    for phases in ["ONE_PHASE", "TWO_PHASE"] {
        let [printed, _] = said("together", rows, &script(phases, 100));
        assert_eq!(printed, "+I[a, 3]\n+I[b, 2]\n+I[c, 3]\n");
    }
    // The groups of three rows are sent, and three of those are taken together.
    let [printed, _] = said("together", rows, &script("TWO_PHASE", 3));
    assert_eq!(printed, "+I[a, 2]\n+I[b, 2]\n+I[c, 3]\n-U[a, 2]\n+U[a, 3]\n");
    let [printed, _] = said("together", rows, &script("ONE_PHASE", 3));
    assert_eq!(printed, "+I[a, 2]\n+I[b, 1]\n-U[b, 1]\n+U[b, 2]\n+I[c, 3]\n-U[a, 2]\n+U[a, 3]\n");
}

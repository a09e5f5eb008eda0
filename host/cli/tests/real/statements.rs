//! Scripts whose rows are in the script, and statements that show something.

use std::{fs, path::Path};

use crate::{
    killed::kill_and_rescale,
    program::{Scratch, millstream, stderr, stdout},
    sql::{library, written},
};

/// What a script prints.
fn printed(scratch: &Scratch, text: &str, arguments: &[&str]) -> String {
    let file = scratch.file("job.sql", text.as_bytes());
    let output = millstream(&[&["run", &file], arguments].concat());
    assert!(output.status.success(), "{text}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_subquery_that_is_a_value_has_one_row() {
    library();
    let scratch = Scratch::new("statements-single");
    for (condition, second, fails) in [
        ("", "2, CAST(NULL AS INT)", true),
        ("WHERE k = a", "1, 5", true),
        ("WHERE k = a", "3, 5", false),
        ("WHERE k < 3", "3, 5", false),
    ] {
        let text = format!(
            "SELECT a, (SELECT v FROM (VALUES (1, 1), ({second})) AS u (k, v) {condition}) AS s FROM (VALUES (1), \
             (2)) AS t (a)"
        );
        let file = scratch.file("job.sql", text.as_bytes());
        for mode in ["streaming", "batch"] {
            let output = millstream(&["run", &file, "--mode", mode]);
            let said = stderr(&output);
            assert_eq!(output.status.success(), !fails, "{condition} {mode}: {said}");
            let expected = "a subquery that is a value has more than one row: aggregate them";
            assert_eq!(said.contains(expected), fails, "{condition} {mode}: {said}");
        }
    }
}

/// Which Flink documents, and refuses.
#[test]
fn the_first_rows_of_each_row_are_its_own() {
    library();
    let scratch = Scratch::new("statements-lateral");
    let rows = "(VALUES (1, 10), (1, 30), (1, 20), (2, 5), (4, 7)) AS b (k, v)";
    for (join, on, limit, expected) in [
        (",", "", "LIMIT 2", "1,20 1,30 2,5"),
        ("CROSS JOIN", "", "LIMIT 1 OFFSET 1", "1,20"),
        ("LEFT JOIN", "ON TRUE", "LIMIT 1", "1,30 2,5 3,"),
    ] {
        let text = format!(
            "SELECT a.k, t.v FROM (VALUES (1), (2), (3)) AS a (k) {join} LATERAL (SELECT v FROM {rows} WHERE b.k = a.k \
             ORDER BY v DESC {limit}) AS t {on}"
        );
        for mode in ["streaming", "batch"] {
            let printed = printed(&scratch, &text, &["--mode", mode]);
            let mut rows: Vec<_> = printed.lines().skip(1).collect();
            rows.sort_unstable();
            assert_eq!(rows.join(" "), expected, "{text} {mode}");
        }
    }
}

#[test]
fn rows_of_the_script_are_rows_like_others() {
    library();
    let scratch = Scratch::new("statements-values");
    for (text, expected) in [
        ("VALUES (1, 'a'), (3000000000, NULL)", "EXPR$0,EXPR$1\n1,a\n3000000000,\n"),
        ("SELECT 1, UPPER('b') AS b", "EXPR$0,b\n1,B\n"),
        ("SELECT 1 AS n WHERE 1 > 2", "n\n"),
        ("SELECT COUNT(*) AS n, SUM(2) AS s", "n,s\n1,2\n"),
        (
            "SELECT t.a, u.b FROM (VALUES (1), (2)) AS t (a) JOIN (VALUES (2, DATE '2026-01-01'), (3, NULL)) AS \
             u (a, b) ON t.a = u.a",
            "a,b\n2,2026-01-01\n",
        ),
    ] {
        for engine in [&["--parallelism", "1"][..], &["--parallelism", "2", "--processes", "2"]] {
            assert_eq!(printed(&scratch, text, engine), expected, "{text} {engine:?}");
        }
    }
    let out = scratch.path("out");
    let text = format!(
        "CREATE TABLE o (a INT, b VARCHAR(2), c TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = \
         '{out}', 'format' = 'csv'); INSERT INTO o VALUES (1, 'xyz', NULL), (2, NULL, NULL); INSERT INTO o (b) \
         VALUES ('y');"
    );
    assert_eq!(printed(&scratch, &text, &["--parallelism", "2"]), "");
    assert_eq!(written(Path::new(&out)), [",y,", "1,xy,", "2,,"]);
}

#[test]
fn rows_that_were_said_are_not_said_again_after_a_restore() {
    const ROWS: usize = 20_000;
    library();
    let scratch = Scratch::new("statements-killed");
    let (checkpoints, out) = (scratch.path("checkpoints"), scratch.path("out"));
    let text = format!(
        "CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence', \
         'fields.n.start' = '1', 'fields.n.end' = '{ROWS}', 'rows-per-second' = '5000');
        CREATE TABLE o (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv');
        INSERT INTO o SELECT n FROM g UNION ALL VALUES (-1), (-2);"
    );
    let file = scratch.file("job.sql", text.as_bytes());
    kill_and_rescale("VALUES", &file, &checkpoints, &[]);
    let rows = written(Path::new(&out));
    assert_eq!(rows.len(), ROWS + 2);
    assert_eq!(rows.iter().filter(|row| row.starts_with('-')).count(), 2);
    fs::remove_dir_all(&out).expect("the sink's directory");
}

const TABLE: &str = "CREATE TABLE bid (auction BIGINT NOT NULL, price DECIMAL(10, 2), PRIMARY KEY (auction) NOT \
                     ENFORCED) WITH ('connector' = 'datagen', 'number-of-rows' = '1');\n";

#[test]
fn what_statements_show_is_a_result() {
    library();
    let scratch = Scratch::new("statements-shown");
    let explain = "EXPLAIN SELECT price, COUNT(*) AS n FROM bid GROUP BY price";
    for (statement, output, expected) in [
        (
            explain,
            "csv",
            "result\n\"== Logical Plan ==
Projection: price AS price, $agg0 AS n
  Aggregate: groupBy=[[price]], aggr=[[COUNT() AS $agg0]]
    Projection: bid.price AS price
      TableScan: bid

== Physical Plan ==
Project [price, $agg0 AS n], changelogMode=[I,UB,UA], upsertKeys=[[price]]
  Aggregate by [price] [COUNT(*) AS $agg0], changelogMode=[I,UB,UA], upsertKeys=[[price]], state=[accumulators by [price]]
    Scan bid [price], changelogMode=[I]

== Job Graph ==
1. Source bid [datagen]
2. calculate <- 1 forward
3. Aggregate by [price] [COUNT(*)] [state] <- 2 hash
4. calculate <- 3 forward
5. Result, 1 subtask <- 4 global
\"
",
        ),
        (
            "DESC bid",
            "json",
            concat!(
                r#"{"name":"auction","type":"BIGINT","null":false,"key":"PRI(auction)","extras":null,"watermark":null}"#,
                "\n",
                r#"{"name":"price","type":"DECIMAL(10, 2)","null":true,"key":null,"extras":null,"watermark":null}"#,
                "\n",
            ),
        ),
        (
            "CREATE VIEW v AS SELECT price FROM bid; SHOW TABLES",
            "table",
            "\
+------------+
| table name |
+------------+
| bid        |
| v          |
+------------+
2 rows in set
",
        ),
        (
            "SHOW CREATE TABLE bid",
            "table",
            "\
+----------------------------------------+
| result                                 |
+----------------------------------------+
| CREATE TABLE `bid` (                   |
|   `auction` BIGINT NOT NULL,           |
|   `price` DECIMAL(10, 2),              |
|   PRIMARY KEY (`auction`) NOT ENFORCED |
| )                                      |
| WITH (                                 |
|   'connector' = 'datagen',             |
|   'number-of-rows' = '1'               |
| )                                      |
+----------------------------------------+
1 row in set
",
        ),
        ("SHOW VIEWS", "csv", "view name\n"),
    ] {
        for processes in ["1", "2"] {
            let text = format!("{TABLE}{statement}");
            let arguments = ["--output", output, "--parallelism", "2", "--processes", processes];
            let found = printed(&scratch, &text, &arguments);
            assert_eq!(found, expected, "{statement} {processes}");
        }
    }
}

#[test]
fn a_script_sets_its_parallelism_and_its_name() {
    library();
    let scratch = Scratch::new("statements-set");
    let text = "SET 'parallelism.default' = '3'; SET 'pipeline.name' = 'ones'; SELECT 1";
    let file = scratch.file("job.sql", text.as_bytes());
    let output = millstream(&["run", &file, "--parallelism", "2"]);
    let said = stderr(&output);
    assert!(output.status.success() && stdout(&output) == "EXPR$0\n1\n", "{said}");
    assert!(said.contains("values (3/3)") && said.contains("ones: 0 rows read"), "{said}");
}

/// Whoever runs it has the last word, and a script that only says how often is told what is missing.
#[test]
fn a_script_sets_its_checkpoints_and_its_state() {
    library();
    let scratch = Scratch::new("statements-checkpoints");
    let (asked, said) = (scratch.path("asked"), scratch.path("said"));
    let text = format!(
        "SET 'execution.checkpointing.interval' = '1min'; SET 'state.backend.type' = 'rocksdb';
         SET 'execution.checkpointing.dir' = 'file://{asked}';
         SELECT COUNT(*) AS n FROM (VALUES (1), (2)) AS t (a);"
    );
    let file = scratch.file("job.sql", text.as_bytes());
    let has_checkpoint = |directory: &str| Path::new(directory).exists();
    let output = millstream(&["run", &file, "--checkpoint-dir", &said]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((has_checkpoint(&asked), has_checkpoint(&said)), (false, true));
    for processes in ["1", "2"] {
        let output = millstream(&["run", &file, "--processes", processes, "--restore", "none"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output), "n\n2\n");
        assert!(has_checkpoint(&asked));
        fs::remove_dir_all(&asked).expect("the checkpoints");
    }
    let text = "SET 'execution.checkpointing.interval' = '1 s'; SELECT 1";
    let output = millstream(&["run", &scratch.file("job.sql", text.as_bytes())]);
    let expected = "the job asks for checkpoints, which have no place: add --checkpoint-dir DIR";
    assert!(output.status.success() && stderr(&output).contains(expected), "{}", stderr(&output));
}

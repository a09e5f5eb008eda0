//! What `scan.watermark.*` is refused for.

use crate::refused;

/// The error for a table with these options that is read.
fn with(options: &str) -> String {
    refused(&format!(
        "CREATE TABLE t (n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen', {options}); \
         SELECT n FROM t"
    ))
}

#[test]
fn options_of_watermarks_are_checked() {
    for (options, expected) in [
        (
            "'scan.watermark.alignment.groop' = 'g'",
            "the table `t`: there is no option `scan.watermark.alignment.groop`: did you mean \
             `scan.watermark.alignment.group`?",
        ),
        (
            "'scan.watermark.alignment.group' = 'g'",
            "the table `t`: tables that wait for one another have both a `scan.watermark.alignment.group`, which says \
             who does, and a `scan.watermark.alignment.max-drift`, which says from when on",
        ),
        (
            "'scan.watermark.alignment.max-drift' = '1 min'",
            "the table `t`: tables that wait for one another have both a `scan.watermark.alignment.group`",
        ),
        (
            "'scan.watermark.alignment.update-interval' = '1 s'",
            "the table `t`: tables that wait for one another have both a `scan.watermark.alignment.group`",
        ),
        (
            "'scan.watermark.alignment.group' = 'g', 'scan.watermark.alignment.max-drift' = 'soon'",
            "the table `t`: the option `scan.watermark.alignment.max-drift` ",
        ),
        (
            "'scan.watermark.idle-timeout' = 'soon'",
            "the table `t`: the option `scan.watermark.idle-timeout` ",
        ),
        (
            "'scan.watermark.emit.strategy' = 'sometimes'",
            "the table `t`: the option `scan.watermark.emit.strategy` takes `on-event` or `on-periodic`, not \
             `sometimes`",
        ),
        (
            "'scan.watermark.emit.strategy' = 'on-event', 'scan.watermark.emit.on-event.gap' = '3'",
            "the table `t`: the option `scan.watermark.emit.on-event.gap` is `3`, and a watermark is said behind the \
             row that raises it, always: leave the option out",
        ),
    ] {
        let error = with(options);
        assert!(error.starts_with(expected), "{options}: {error}");
    }
    let error = refused(
        "CREATE TABLE t (n INT) WITH ('connector' = 'datagen', 'scan.watermark.idle-timeout' = '1 s'); SELECT n FROM t",
    );
    let expected = "the table `t`: the option `scan.watermark.idle-timeout` is about its watermark, and it has none: \
                    declare one, as in WATERMARK FOR ts AS ts";
    assert!(error.starts_with(expected), "{error}");
}

/// As in Flink, but that there it may also stand behind joins, windows and subqueries.
#[test]
fn the_current_watermark_is_that_in_front_of_a_row_of_a_table() {
    const TABLES: &str = "\
        CREATE TABLE t (n INT, at TIMESTAMP(3), ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');\n";
    let takes = "CURRENT_WATERMARK takes the column that a table has its WATERMARK for, passed on as it is (line ";
    let stands = "CURRENT_WATERMARK stands in the query that reads the table, in WHERE and SELECT, not behind joins, \
                  windows and subqueries (line ";
    for (query, expected) in [
        ("SELECT CURRENT_WATERMARK(at) FROM t", takes),
        ("SELECT CURRENT_WATERMARK(n) FROM t", takes),
        ("SELECT CURRENT_WATERMARK() FROM t", takes),
        ("SELECT CURRENT_WATERMARK(ts, ts) FROM t", takes),
        ("SELECT CURRENT_WATERMARK(ts + INTERVAL '1' SECOND) FROM t", takes),
        ("SELECT CURRENT_WATERMARK(ts) FROM (SELECT ts FROM t)", stands),
        ("SELECT CURRENT_WATERMARK(a.ts) FROM t a JOIN t b ON a.n = b.n AND a.ts = b.ts", stands),
        (
            "SET 'execution.runtime-mode' = 'batch'; SELECT CURRENT_WATERMARK(ts) FROM t",
            "CURRENT_WATERMARK has no meaning in batch mode, where there are no watermarks (line ",
        ),
    ] {
        let refused = refused(&format!("{TABLES}{query}"));
        assert!(refused.starts_with(expected), "{query}: {refused}");
    }
}

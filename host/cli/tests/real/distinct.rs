//! Groups of windows with very many different values.

use crate::{
    functions::{rows, run},
    program::Scratch,
    sql::library,
};

/// Reading all values of a group for each row, these would take minutes.
#[test]
fn a_window_counts_very_many_different_values() {
    library();
    let scratch = Scratch::new("distinct");
    let script = "CREATE TABLE t (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH ('connector' = \
                  'datagen', 'number-of-rows' = '120000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', \
                  'fields.n.end' = '120000');
SELECT COUNT(DISTINCT n), SUM(DISTINCT MOD(n, 80000)), COUNT(*) FROM TABLE(TUMBLE(TABLE t, \
                  DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end";
    for state in ["memory", "lsm"] {
        let output = run(&scratch, script, &["--output", "csv", "--state", state]);
        assert_eq!(rows(&output), ["120000,3199960000,120000"], "{state}");
    }
}

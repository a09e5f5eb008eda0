//! Tables that wait for one another.

use crate::{
    program::{Scratch, millstream, stderr, stdout},
    sql::library,
};

/// Rows of the fast table, one for each millisecond of event time.
const FAST: u64 = 60_000;
/// Rows of the slow one, three of which come in a millisecond.
const SLOW: u64 = 3000;
/// How far the fast one may be ahead, with what pages and channels hold.
const AHEAD: u64 = 25_000;

/// The most rows that the fast table was ahead of the slow one in what a job has printed, as long as that was not
/// half done: behind its end nobody waits for it.
fn lead(printed: &str) -> u64 {
    let (mut slow, mut most, mut fast) = (0u64, 0, 0);
    for row in printed.lines().filter(|row| row.starts_with("+I[")) {
        let cells: Vec<&str> = row[3..row.len() - 1].split(", ").collect();
        let [name, number] = cells[..] else { panic!("{row}") };
        let number: u64 = number.parse().expect("a number");
        match name {
            // What other subtasks have not shown yet may be behind.
            "slow" => slow = slow.max(number),
            _ => {
                fast += 1;
                if slow < SLOW / 2 {
                    most = most.max(number.saturating_sub(slow));
                }
            }
        }
    }
    // The last window has one row.
    assert_eq!((fast, slow), (FAST / 100 + 1, SLOW), "all windows end");
    most
}

#[test]
fn a_table_waits_for_the_slowest_of_its_group() {
    library();
    let scratch = Scratch::new("aligned");
    let text = |options: &str| {
        format!(
            "CREATE TABLE fast (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH ('connector' = \
             'datagen', 'number-of-rows' = '{FAST}', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', \
             'fields.n.end' = '{FAST}' {options});
             CREATE TABLE slow (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH ('connector' = \
             'datagen', 'number-of-rows' = '{SLOW}', 'rows-per-second' = '3000', 'fields.n.kind' = 'sequence', \
             'fields.n.start' = '1', 'fields.n.end' = '{SLOW}' {options});
             SELECT 'fast' AS name, MAX(n) AS n FROM TABLE(TUMBLE(TABLE fast, DESCRIPTOR(ts), INTERVAL '0.1' SECOND))
             GROUP BY window_start, window_end
             UNION ALL
             SELECT 'slow', MAX(n) FROM TABLE(TUMBLE(TABLE slow, DESCRIPTOR(ts), INTERVAL '0.1' SECOND))
             GROUP BY window_start, window_end;"
        )
    };
    let run = |options: &str, processes: &str| {
        let file = scratch.file("job.sql", text(options).as_bytes());
        let settings = ["--set", "memory.segment-size=4kb", "--processes", processes];
        let run = ["run", &file, "--output", "changelog", "--parallelism", "2"];
        let output = millstream(&[&run[..], &settings].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        lead(&stdout(&output))
    };
    let aligned = ", 'scan.watermark.alignment.group' = 'g', 'scan.watermark.alignment.max-drift' = '1 s', \
                   'scan.watermark.alignment.update-interval' = '10 ms'";
    for processes in ["1", "2"] {
        let (held, free) = (run(aligned, processes), run("", processes));
        assert!(
            held <= AHEAD && held < free,
            "{held}, and {free} without, in {processes} processes"
        );
    }
}

//! Windows that end by the clock: what comes of them is not known beforehand, but what it has to be.

use std::collections::BTreeSet;

use crate::{
    program::{Scratch, millstream, stderr, stdout},
    sql::{library, nexmark, script_to, unpacked},
};

/// Milliseconds of a time as it is written: `2023-07-14 23:59:30.000`.
fn millis(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| -> i64 {
        text.get(range).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let seconds = (number(11..13) * 60 + number(14..16)) * 60 + number(17..19);
    seconds * 1000 + number(20..23)
}

/// Checks rows of a key, a count and the bounds of a window of `size` ms, the counts of which are together at most
/// `most`; gives how many windows there are.
fn check(rows: &str, size: i64, most: i64) -> usize {
    let (mut seen, mut windows, mut counted) = (BTreeSet::new(), BTreeSet::new(), 0);
    for row in rows.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [key, count, start, end] = cells[..] else { panic!("{row}") };
        counted += count.parse::<i64>().expect("a count");
        assert_eq!(millis(start) % size, 0, "{row}");
        assert_eq!((millis(end) - millis(start)).rem_euclid(86_400_000), size, "{row}");
        assert!(seen.insert((key, start)), "a window comes twice: {row}");
        windows.insert(start);
    }
    assert!(counted <= most, "{counted} of {most}");
    windows.len()
}

#[test]
fn windows_end_while_rows_still_come() {
    library();
    let scratch = Scratch::new("processing-time");
    let text = "
        CREATE TABLE numbers (k INT, v INT) WITH ('connector' = 'datagen', 'number-of-rows' = '6000',
            'rows-per-second' = '4000', 'fields.k.min' = '1', 'fields.k.max' = '5');
        CREATE VIEW timed AS SELECT k, PROCTIME() AS now FROM numbers;
        SELECT k, COUNT(*) AS n, window_start, window_end
        FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(now), INTERVAL '0.1' SECOND))
        GROUP BY k, window_start, window_end;";
    let file = scratch.file("job.sql", text.as_bytes());
    for engine in [&["--parallelism", "1"], &["--parallelism", "2"]] {
        let output = millstream(&[&["run", &file, "--output", "csv"], &engine[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        // The rows come in one and a half seconds, which are longer on a machine that is busy.
        let windows = check(&stdout(&output), 100, 6000);
        assert!(windows > 5, "{engine:?}: {windows} windows have ended");
    }
}

/// Windows that have not ended when the input does are not emitted, as in Flink.
#[test]
fn the_query_of_nexmark_counts_no_bid_twice() {
    library();
    let scratch = Scratch::new("processing-time-q12");
    let events =
        scratch.file("events.jsonl", unpacked(&nexmark().join("events.jsonl.gz")).as_bytes());
    let out = scratch.path("out");
    let sink = format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv'");
    let file = scratch.file("job.sql", script_to("q12", &events, &sink).as_bytes());
    let output = millstream(&["run", &file, "--parallelism", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let files = std::fs::read_dir(&out).into_iter().flatten().flatten();
    let rows = files.map(|file| std::fs::read_to_string(file.path()).expect("text"));
    let rows = format!("names\n{}", rows.collect::<String>());
    assert!(check(&rows, 10_000, 9_200) <= 2, "{rows}");
}

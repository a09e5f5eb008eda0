//! Windows that end by the clock: what comes of them is not known beforehand, but what it has to be.

use std::collections::{BTreeMap, BTreeSet};

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

/// Sessions of a key are as long as the gap at least, and apart; so are the groups of them that are left.
#[test]
fn sessions_end_while_rows_still_come() {
    library();
    let scratch = Scratch::new("processing-time-sessions");
    for window in [
        "FROM TABLE(SESSION(TABLE timed PARTITION BY k, DESCRIPTOR(now), INTERVAL '0.02' SECOND)) GROUP BY k, \
         window_start, window_end",
        "FROM timed GROUP BY k, SESSION(now, INTERVAL '0.02' SECOND)",
    ] {
        let (start, end) = match window.contains("TABLE") {
            true => ("window_start", "window_end"),
            false => (
                "SESSION_START(now, INTERVAL '0.02' SECOND)",
                "SESSION_END(now, INTERVAL '0.02' SECOND)",
            ),
        };
        let text = format!(
            "CREATE TABLE numbers (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '200',
                'rows-per-second' = '200', 'fields.k.min' = '1', 'fields.k.max' = '5');
            CREATE VIEW timed AS SELECT k, PROCTIME() AS now FROM numbers;
            SELECT k, COUNT(*) AS n, {start} AS s, {end} AS e {window};"
        );
        let file = scratch.file("job.sql", text.as_bytes());
        let output = millstream(&["run", &file, "--output", "csv", "--parallelism", "2"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let (mut ends, mut counted, mut sessions) = (BTreeMap::new(), 0, 0);
        for row in stdout(&output).lines().skip(1) {
            let cells: Vec<&str> = row.split(',').collect();
            let [key, count, start, end] = cells[..] else { panic!("{row}") };
            // Sessions of a key come in their order.
            let before = ends.insert(key.to_owned(), millis(end));
            let is_apart = before.is_none_or(|before| millis(start) >= before);
            // Across midnight times of day begin anew.
            assert!(is_apart || millis(start) < 60_000, "{row}");
            assert!((millis(end) - millis(start)).rem_euclid(86_400_000) >= 20, "{row}");
            counted += count.parse::<i64>().expect("a count");
            sessions += 1;
        }
        assert!(sessions > 5 && counted <= 200, "{sessions} sessions of {counted} rows");
    }
}

/// Groups of windows that have ended are grouped by these again, and updated as they come.
#[test]
fn groups_of_windows_are_grouped() {
    library();
    let scratch = Scratch::new("processing-time-groups");
    let text = "
        CREATE TABLE numbers (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '3000',
            'rows-per-second' = '3000', 'fields.k.min' = '1', 'fields.k.max' = '5');
        CREATE VIEW timed AS SELECT k, PROCTIME() AS now FROM numbers;
        SELECT COUNT(*) AS k, SUM(n) AS n, window_start, window_end FROM (
            SELECT k, COUNT(*) AS n, window_start, window_end
            FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(now), INTERVAL '0.1' SECOND))
            GROUP BY k, window_start, window_end)
        GROUP BY window_start, window_end;";
    let file = scratch.file("job.sql", text.as_bytes());
    let output = millstream(&["run", &file, "--output", "csv", "--parallelism", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let windows = check(&stdout(&output), 100, 3000);
    assert!(windows > 3, "{windows} windows have ended");
    for row in stdout(&output).lines().skip(1) {
        let keys: u32 = row.split(',').next().expect("a cell").parse().expect("a number");
        assert!((1..=5).contains(&keys), "{row}");
    }
}

/// What a window of GROUP BY says of processing time is the clock when its group is seen: not before its end.
#[test]
fn the_clock_of_a_window_is_behind_its_end() {
    library();
    let scratch = Scratch::new("processing-time-clock");
    let text = "
        CREATE TABLE numbers (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '2000',
            'rows-per-second' = '2000', 'fields.k.min' = '1', 'fields.k.max' = '5');
        CREATE VIEW timed AS SELECT k, PROCTIME() AS now FROM numbers;
        SELECT ended, COUNT(*) AS n FROM (
            SELECT TUMBLE_PROCTIME(now, INTERVAL '0.1' SECOND)
                >= CAST(TUMBLE_END(now, INTERVAL '0.1' SECOND) AS TIMESTAMP_LTZ(3)) AS ended
            FROM timed GROUP BY k, TUMBLE(now, INTERVAL '0.1' SECOND))
        GROUP BY ended;";
    let file = scratch.file("job.sql", text.as_bytes());
    let output = millstream(&["run", &file, "--output", "csv", "--parallelism", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<_> = stdout(&output).lines().skip(1).map(str::to_owned).collect();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert!(row.starts_with("true,"), "{row}");
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

/// Each row is there once, at once, in the window of the time at which it came, which never goes back.
#[test]
fn rows_come_with_the_windows_of_the_clock() {
    library();
    let scratch = Scratch::new("processing-time-rows");
    let text = "
        CREATE TABLE numbers (k BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1500',
            'rows-per-second' = '3000', 'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '1500');
        CREATE VIEW timed AS SELECT k, PROCTIME() AS now FROM numbers;
        SELECT k, CAST(window_time AS TIMESTAMP(3)) AS came, window_start, window_end
        FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(now), INTERVAL '0.1' SECOND));";
    let file = scratch.file("job.sql", text.as_bytes());
    let output = millstream(&["run", &file, "--output", "csv", "--parallelism", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (mut keys, mut windows, mut last) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for row in stdout(&output).lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [key, came, start, end] = cells[..] else { panic!("{row}") };
        assert!(start <= came && came < end && last.as_str() <= came, "{row} behind {last}");
        assert_eq!((millis(end) - millis(start)).rem_euclid(86_400_000), 100, "{row}");
        assert!(keys.insert(key.to_owned()), "{row} comes twice");
        windows.insert(start.to_owned());
        last = came.to_owned();
    }
    assert_eq!(keys.len(), 1500);
    assert!(windows.len() > 2, "{windows:?}");
}

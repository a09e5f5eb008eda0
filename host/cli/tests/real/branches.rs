//! Forks, side outputs and connected streams in a compiled job.

use crate::program::{build_library, millstream, stderr, stdout};

#[test]
fn streams_part_and_meet_in_every_shape_of_a_job() {
    let library = build_library("branches");
    let library = library.to_str().expect("a UTF-8 path");
    let mut first: Option<Vec<String>> = None;
    for (parallelism, processes) in [("1", "1"), ("3", "1"), ("2", "2"), ("4", "3")] {
        let output = millstream(&[
            "run",
            "--parallelism",
            parallelism,
            "--processes",
            processes,
            "--set",
            "memory.segment-size=4 KiB",
            library,
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = stdout(&output);
        let mut rows: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
        rows.sort_unstable();
        let total = |column: usize| -> u64 {
            let cells = rows.iter().filter_map(|row| row.split(',').nth(column));
            cells.map(|cell| cell.parse::<u64>().expect("a number")).sum()
        };
        assert_eq!(total(1) + total(2), 2 * 336_776, "each flight is counted twice");
        assert_eq!(total(2), 2 * 8_255, "the cancelled ones, too");
        assert_eq!(*first.get_or_insert_with(|| rows.clone()), rows, "{parallelism}, {processes}");
    }
}

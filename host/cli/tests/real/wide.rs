//! Rows of 20 columns of 10 KiB each, on segments of 4 KiB, with as little memory as there can be.

use crate::program::{Scratch, build_library, millstream, stderr, stdout};

const ROWS: usize = 60;

/// The rows as CSV; every seventh is small, so that pages and rows of their own alternate.
fn csv() -> (String, Vec<String>) {
    let columns = (1..20).map(|column| format!("c{column:02}"));
    let header = std::iter::once(String::from("name")).chain(columns).collect::<Vec<_>>().join(",");
    let row = |number: usize| {
        let length = if number.is_multiple_of(7) { 3 } else { 10 << 10 };
        let cell = |column: usize| {
            let letter = char::from(b'a' + ((number + column) % 26) as u8);
            format!("{number}-{}", letter.to_string().repeat(length))
        };
        (0..20).map(cell).collect::<Vec<_>>().join(",")
    };
    let mut rows: Vec<String> = (0..ROWS).map(row).collect();
    let text = format!("{header}\n{}\n", rows.join("\n"));
    rows.sort_unstable();
    (text, rows)
}

#[test]
fn wide_rows_pass_the_smallest_pools_whatever_carries_them() {
    let library = build_library("wide");
    let library = library.to_str().expect("a UTF-8 path");
    let scratch = Scratch::new("wide");
    let (text, expected) = csv();
    let input = scratch.file("wide.csv", text.as_bytes());
    for (processes, transport) in [("1", "auto"), ("2", "tcp"), ("2", "uring"), ("3", "auto")] {
        let run = |network: &str| {
            let network = format!("memory.network={network}");
            millstream(
                &[
                    &[
                        "run",
                        "--processes",
                        processes,
                        "--transport",
                        transport,
                        "--parallelism",
                        "2",
                    ],
                    &["--set", "memory.segment-size=4 KiB", "--set", &network][..],
                    &["--output", "csv", library, "--input", &input][..],
                ]
                .concat(),
            )
        };
        // The refusal says how much it takes; with that much the job runs.
        let mut network = String::from("4 KiB");
        let mut output = run(&network);
        for _ in 0..100 {
            let Some(least) = least(&stderr(&output)) else { break };
            network = least;
            output = run(&network);
        }
        let said = stderr(&output);
        assert!(output.status.success(), "{processes} {transport} {network}: {said}");
        let printed = stdout(&output);
        let mut rows: Vec<&str> = printed.lines().skip(1).collect();
        rows.sort_unstable();
        assert!(rows == expected, "{processes} {transport} {network}: rows differ");
    }
}

/// The memory that a refusal asks for.
fn least(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("`memory.network` to at least ")?;
    let (bytes, _) = rest.split_once(" bytes")?;
    Some(bytes.to_owned())
}

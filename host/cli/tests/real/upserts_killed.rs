//! Tables that know their rows by a key, of scripts that are killed in the middle.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::{
    killed::kill_behind,
    program::{Scratch, millstream, stderr},
    sql::library,
};

/// Rows of the table, one a second: slow enough to be killed in the middle.
const ROWS: u64 = 10_000;
/// Groups, each of as many rows.
const GROUPS: u64 = 200;

/// What is written, to tables whose PRIMARY KEY is the first column.
const INSERTS: [&str; 4] = [
    // By the key of the query.
    "SELECT k, SUM(v), COUNT(*) FROM r GROUP BY k",
    // Groups that have not got all of their rows share seven keys, one after the other, and so do the last seven in
    // the end; others have a key of their own then.
    "SELECT CASE WHEN COUNT(*) < 50 OR k >= 193 THEN MOD(k, 7) ELSE 1000 + k END, SUM(v), k FROM r GROUP BY k \
     ON CONFLICT DO DEDUPLICATE",
    // Each group has a key of its own, which nobody can know.
    "SELECT MAX(k) + 1000, SUM(v), COUNT(*) FROM r GROUP BY k ON CONFLICT DO NOTHING",
    "SELECT MAX(k) + 1000, MIN(v), MAX(v) FROM r GROUP BY k ON CONFLICT DO ERROR",
];

/// The table: numbers around 0 in turn for each group.
fn rows() -> String {
    let mut rows = String::new();
    for id in 0..ROWS {
        let value = (id * 7919 % 101).cast_signed() - 50;
        let (hour, minute, second) = (id / 3600, id / 60 % 60, id % 60);
        let time = format!("2024-01-01 {hour:02}:{minute:02}:{second:02}.000");
        writeln!(rows, "{},{value},{time}", id % GROUPS).expect("text");
    }
    rows
}

/// A script with all of these INSERTs, each into files of its own.
fn script(scratch: &Scratch, name: &str, rows: &str) -> String {
    let mut script = format!(
        "CREATE TABLE r (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = \
         'filesystem', 'path' = '{rows}', 'format' = 'csv');\n"
    );
    for (number, insert) in INSERTS.iter().enumerate() {
        let path = scratch.path(&format!("{name}-{number}"));
        script += &format!(
            "CREATE TABLE o{number} (a BIGINT, b BIGINT, c BIGINT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = \
             'filesystem', 'path' = '{path}', 'format' = 'changelog-json');
             INSERT INTO o{number} {insert};\n"
        );
    }
    scratch.file("job.sql", script.as_bytes())
}

/// When a file of a sink was begun, after its name: the run, the subtask, and how many of it came before.
fn begun(path: &Path) -> (String, u64, u64) {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let parts: Vec<&str> = name.split('-').collect();
    let ["part", since, _process, subtask, count] = parts[..] else { panic!("{name}") };
    let number = |part: &str| part.parse().expect("a number");
    (since.to_owned(), number(subtask), number(count))
}

/// The rows by their keys, as the changes in the files of a directory leave them. Those of a key are in the order of the
/// files: in a run one subtask has it.
fn folded(directory: &Path) -> BTreeMap<i64, [i64; 2]> {
    let files = fs::read_dir(directory).expect("the sink's directory").flatten();
    let files = files.filter(|file| !file.file_name().as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<_> = files.map(|file| file.path()).collect();
    paths.sort_by_key(|path| begun(path));
    let mut rows = BTreeMap::new();
    for line in paths.iter().flat_map(|path| {
        fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
    }) {
        let change: Value = serde_json::from_str(&line).expect("JSON");
        let [key, b, c] =
            ["a", "b", "c"].map(|name| change["data"][name].as_i64().expect("a number"));
        match change["op"].as_str() {
            Some("+I" | "+U") => drop(rows.insert(key, [b, c])),
            // What it is now comes behind.
            Some("-U") => {}
            Some("-D") => assert!(rows.remove(&key).is_some(), "{line}: it is not there"),
            other => panic!("{other:?}"),
        }
    }
    rows
}

fn all_folded(scratch: &Scratch, name: &str) -> Vec<BTreeMap<i64, [i64; 2]>> {
    let of = |number: usize| {
        let path = scratch.path(&format!("{name}-{number}"));
        let rows = folded(Path::new(&path));
        fs::remove_dir_all(&path).expect("the sink's directory");
        rows
    };
    (0..INSERTS.len()).map(of).collect()
}

#[test]
fn what_was_killed_writes_the_rows_of_its_keys() {
    library();
    let scratch = Scratch::new("upserts-killed");
    let rows = scratch.file("rows.csv", rows().as_bytes());
    let job = script(&scratch, "whole", &rows);
    let output = millstream(&["run", &job, "--parallelism", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let wanted = all_folded(&scratch, "whole");
    assert!(wanted.iter().all(|rows| rows.len() as u64 == GROUPS), "{wanted:?}");
    assert_eq!(wanted[1].get(&0).map(|row| row[1]), Some(196));
    for (backend, complete, unaligned) in
        [("memory", 1, "true"), ("lsm", 2, "false"), ("memory", 4, "true"), ("lsm", 5, "true")]
    {
        let name = format!("{backend}-{complete}");
        let job = script(&scratch, &name, &rows);
        let checkpoints = scratch.path(&format!("checkpoints-{name}"));
        let unaligned = format!("checkpoint.unaligned={unaligned}");
        let engine = ["--state", backend, "--set", &unaligned];
        kill_behind(complete, &name, &job, &checkpoints, &engine);
        let found = all_folded(&scratch, &name);
        for ((insert, found), wanted) in INSERTS.iter().zip(&found).zip(&wanted) {
            assert!(found == wanted, "{name} {insert}: {found:?} and not {wanted:?}");
        }
    }
}

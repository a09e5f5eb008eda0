//! Start to result of a tiny job and of a tiny script, what the process holds, and how long the largest of
//! Nexmark's queries is planned: `startup [RUNS]`. Needs `cargo build --release` before.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use millstream_benches::{median, peak_bytes_of_children};

/// Milliseconds that a script may take to its first row, and planning.
const ASKED: [f64; 2] = [100.0, 20.0];

fn main() {
    let runs = std::env::args().nth(1).map_or(30, |text| text.parse::<u32>().expect("a number"));
    let scratch = std::env::temp_dir().join(format!("millstream-tiny-{}", std::process::id()));
    fs::create_dir_all(&scratch).expect("a directory");
    let input = file(&scratch, "tiny.csv", "carrier,origin,departure_delay_minutes\nAA,JFK,1\n");
    let job =
        times(runs, |command| command.arg(beside("libflights.so")).arg("--input").arg(&input));
    let peak = peak_bytes_of_children() as f64 / f64::from(1 << 20);
    println!("job, start to result: {}, peak RSS {peak:.1} MiB", shown(&job));

    let table = format!(
        "CREATE TABLE t (carrier STRING, origin STRING, delay STRING) WITH ('connector' = 'filesystem', \
         'path' = '{}', 'format' = 'csv');\n",
        input.display()
    );
    let script = file(
        &scratch,
        "tiny.sql",
        &format!("{table}SELECT origin, COUNT(*) FROM t GROUP BY origin;"),
    );
    let tiny = times(runs, |command| command.arg(&script));
    println!("script, start to result: {} (asked {})", shown(&tiny), ASKED[0]);

    let nothing = file(&scratch, "nothing.sql", "EXPLAIN SELECT 1;");
    let nothing = median(times(runs, |command| command.arg(&nothing)));
    let planning = queries().into_iter().map(|(name, query)| {
        let query = file(&scratch, "query.sql", &query);
        (median(times(runs, |command| command.arg(&query))) - nothing, name)
    });
    let longest = planning.max_by(|a, b| a.0.total_cmp(&b.0)).expect("a query");
    println!(
        "planning of {}, as EXPLAIN beside EXPLAIN SELECT 1: median {:.1} ms (asked {})",
        longest.1, longest.0, ASKED[1]
    );
    fs::remove_dir_all(&scratch).expect("the directory is there");
}

/// A file that was built with this program.
fn beside(name: &str) -> PathBuf {
    std::env::current_exe().expect("this program").with_file_name(name)
}

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("room");
    path
}

/// Milliseconds of runs, in order.
fn times(runs: u32, job: impl Fn(&mut Command) -> &mut Command) -> Vec<f64> {
    let run = |_| {
        let begin = Instant::now();
        let mut command = Command::new(beside("millstream"));
        let output = job(command.arg("run")).output().expect("millstream is built");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        begin.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..runs).map(run).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn shown(times: &[f64]) -> String {
    let (median, worst) = (median(times.iter().copied()), times.last().copied().unwrap_or(0.0));
    format!("median {median:.1} ms, worst {worst:.1} ms of {}", times.len())
}

/// Nexmark's queries, each to be explained.
fn queries() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/cli/tests/nexmark/queries");
    let tables = fs::read_to_string(folder.join("ddl.sql")).expect("the tables");
    let mut queries = Vec::new();
    for number in 0..=22 {
        let name = format!("q{number}");
        let query = fs::read_to_string(folder.join(format!("{name}.sql"))).expect("a query");
        let Some((before, insert)) = query.split_once("INSERT INTO") else { continue };
        let mode = match number {
            6 => "SET 'execution.runtime-mode' = 'batch';\n",
            _ => "",
        };
        let query = format!("{mode}{tables}{before}EXPLAIN INSERT INTO{insert}")
            .replace("${SINK}", "'connector' = 'blackhole'")
            .replace("${EVENTS}", "events")
            .replace("${SIDE}", "side");
        queries.push((name, query));
    }
    queries
}

//! Start to result of a tiny job, and what the process holds: `startup [RUNS]`. Needs
//! `cargo build --release` before.

use std::{path::Path, process::Command, time::Instant};

use millstream_benches::{median, peak_bytes_of_children};

fn main() {
    let runs = std::env::args().nth(1).map_or(30, |text| text.parse::<u32>().expect("a number"));
    let executable = std::env::current_exe().expect("this program");
    let directory: &Path = executable.parent().expect("a directory");
    let input = std::env::temp_dir().join(format!("millstream-tiny-{}.csv", std::process::id()));
    std::fs::write(&input, "carrier,origin,departure_delay_minutes\nAA,JFK,1\n").expect("room");
    let run = |_| {
        let begin = Instant::now();
        let output = Command::new(directory.join("millstream"))
            .arg("run")
            .arg(directory.join("libflights.so"))
            .arg("--input")
            .arg(&input)
            .output()
            .expect("millstream is built");
        assert!(output.status.success());
        begin.elapsed().as_secs_f64() * 1e3
    };
    let times: Vec<f64> = (0..runs).map(run).collect();
    std::fs::remove_file(&input).expect("the file is there");
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!(
        "start to result: median {:.1} ms, worst {worst:.1} ms of {runs} (aim 50); peak RSS {:.1} MiB",
        median(times),
        peak_bytes_of_children() as f64 / f64::from(1 << 20)
    );
}

//! Queries that are killed in the middle.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// Rows a second of each table: slow enough for some checkpoints, of the few rows that there are.
const RATE: &str = "source.rows-per-second=150";

/// Kills a run of a script when a checkpoint is complete, and lets it go on with another parallelism: its rows
/// have to be those of a run that was left alone.
pub(super) fn check(script: &str, path: &Path, checkpoints: &Path) -> Result<(), String> {
    let late = script.contains("-- late");
    let state = if script.len().is_multiple_of(2) { "memory" } else { "lsm" };
    let run = |parallelism: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.arg("run").arg(path).args(["--output", "csv", "--state", state]);
        command.args(["--parallelism", if late { "1" } else { parallelism }]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let place = checkpoints.to_string_lossy();
    let kept = ["--checkpoint-dir", &place, "--checkpoint-interval", "1ms"];
    let slow = [&kept[..], &["--set", RATE]].concat();
    let mut killed = run("2", &slow).spawn().map_err(|error| error.to_string())?;
    let is_over = loop {
        if completed(checkpoints) > script.len() % 7 {
            break false;
        }
        if killed.try_wait().map_err(|error| error.to_string())?.is_some() {
            break true;
        }
        thread::yield_now();
    };
    // A run that is over has closed its output, and what it said fits a pipe.
    let _ = killed.kill();
    let was_killed = killed.wait_with_output().map_err(|error| error.to_string())?;
    if is_over && !was_killed.status.success() {
        return Err(String::from_utf8_lossy(&was_killed.stderr).into_owned());
    }
    let rows = |mut command: Command| {
        let output = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut rows = super::lines(&output.stdout);
        rows.sort();
        match output.status.success() {
            true => Ok((rows, said)),
            false => Err(said),
        }
    };
    let (whole, _) = rows(run("1", &[]))?;
    let (restored, said) = rows(run("3", &kept))?;
    if !is_over && !said.contains("going on from checkpoint") {
        return Err(format!("what was killed begins anew: {said}"));
    }
    if restored != whole {
        return Err(format!("what was killed comes to {restored:#?} and not {whole:#?}: {said}"));
    }
    Ok(())
}

/// The number of the newest checkpoint that is complete.
fn completed(checkpoints: &Path) -> usize {
    let jobs = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let all = jobs.flat_map(|job| fs::read_dir(job.path()).into_iter().flatten().flatten());
    let complete = all.filter(|checkpoint| checkpoint.path().join("_metadata").exists());
    let number = |name: &str| name.strip_prefix("chk-")?.parse().ok();
    complete.filter_map(|checkpoint| number(checkpoint.file_name().to_str()?)).max().unwrap_or(0)
}

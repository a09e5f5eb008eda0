//! A real Flink, whose answers are written into the files.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
};

use sqllogictest::{Runner, default_column_validator, default_normalizer, default_validator};

use super::{Engine, Session};

/// Answers all queries of some files with the Flink on this class path, and writes the files anew.
pub(crate) fn complete(class_path: &OsStr, files: &[PathBuf]) -> ExitCode {
    let flink = Arc::new(Mutex::new(Flink::start(class_path)));
    let only = std::env::args().nth(1).unwrap_or_default();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
        println!("{}", file.display());
        let engine = || async { Ok(Session::new(Shared(Arc::clone(&flink)))) };
        let mut runner = Runner::new(engine);
        let updated = futures_executor::block_on(runner.update_test_file(
            file,
            " ",
            default_validator,
            default_normalizer,
            default_column_validator,
        ));
        if let Err(error) = updated {
            eprintln!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The process, see `Flink.java`.
struct Flink {
    process: Child,
    scripts: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Flink {
    fn start(class_path: &OsStr) -> Self {
        let mut process = Command::new("java")
            .args(
                ["util", "lang", "time"]
                    .map(|of| format!("--add-opens=java.base/java.{of}=ALL-UNNAMED")),
            )
            .arg("-cp")
            .arg(class_path)
            .arg("Flink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs");
        let scripts = process.stdin.take().expect("its input");
        let answers = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, scripts, answers }
    }
}

impl Drop for Flink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Shared(Arc<Mutex<Flink>>);

impl Engine for Shared {
    fn answer(&mut self, script: &str) -> Result<Vec<String>, String> {
        let mut flink = self.0.lock().map_err(|error| error.to_string())?;
        let Flink { scripts, answers, .. } = &mut *flink;
        let sent = write!(scripts, "{}\n{script}", script.chars().count());
        sent.and_then(|()| scripts.flush()).map_err(|error| error.to_string())?;
        let mut changes = Vec::new();
        for line in answers.lines() {
            let line = line.map_err(|error| error.to_string())?;
            match line.strip_prefix("failed ") {
                Some(reason) => return Err(reason.to_owned()),
                None if line == "done" => return Ok(changes),
                None if line.starts_with(['+', '-']) => changes.push(line),
                // Flink prints code that it cannot compile.
                None => {}
            }
        }
        Err("Flink has ended".to_owned())
    }
}

//! A real Flink, whose answers are written into the files.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
};

use super::Engine;

/// One that is shared by all files.
#[derive(Clone)]
pub(crate) struct Flink(Arc<Mutex<Process>>);

impl Flink {
    /// That of a class path.
    pub(crate) fn start(class_path: &str) -> Self {
        Self(Arc::new(Mutex::new(Process::start(class_path))))
    }
}

/// The process, see `Flink.java`.
struct Process {
    process: Child,
    scripts: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(class_path: &str) -> Self {
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

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Engine for Flink {
    fn answer(&mut self, script: &str) -> Result<Vec<String>, String> {
        let mut flink = self.0.lock().map_err(|error| error.to_string())?;
        let Process { scripts, answers, .. } = &mut *flink;
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

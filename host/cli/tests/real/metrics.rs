//! What a running job shows of itself.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::program::flights_library;

fn fetch(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn metrics_of_all_processes_are_served_while_the_job_runs() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["run", "--metrics", "127.0.0.1:0", "--processes", "2", "--output", "none"])
        .arg(flights_library())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says where");
    let address = line.trim().strip_prefix("metrics: http://").expect("an address");
    let address = address.strip_suffix("/metrics").expect("a path");
    // The second process reports its subtasks after the first has begun.
    let wanted = ["task=\"aggregate\",subtask=\"0\"", "task=\"aggregate\",subtask=\"1\""];
    let mut seen = false;
    while let Some(answer) = fetch(address) {
        seen |= wanted.iter().all(|labels| answer.contains(labels));
    }
    assert!(child.wait().expect("it ends").success());
    assert!(seen, "never were both subtasks shown");
}

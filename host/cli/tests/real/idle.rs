//! A table that says nothing, beside one that does.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::{program::Scratch, sql::library};

/// Without the timeout nothing would be printed before the server of the quiet table is gone.
#[test]
fn who_says_nothing_holds_nobody_back() {
    library();
    let scratch = Scratch::new("idle");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("its address").port();
    let columns = "(n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts)";
    let script = format!(
        "SET 'table.exec.source.idle-timeout' = '50 ms';
         CREATE TABLE busy {columns} WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'fields.n.kind' = \
         'sequence', 'fields.n.start' = '0', 'fields.n.end' = '50000');
         CREATE TABLE quiet {columns} WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}', \
         'format' = 'csv');
         CREATE VIEW both AS SELECT n, ts FROM busy UNION ALL SELECT n, ts FROM quiet;
         SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE both, DESCRIPTOR(ts), INTERVAL '0.1' SECOND))
         GROUP BY window_start, window_end;"
    );
    let script = scratch.file("job.sql", script.as_bytes());
    // Whoever connects is listened to until the test is over.
    let accepted = thread::spawn(move || server.accept().expect("the job connects"));
    let mut run = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["run", &script, "--parallelism", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let lines = BufReader::new(run.stdout.take().expect("its output")).lines();
    let lines: Vec<String> = lines.take(2).map(|line| line.expect("a line")).collect();
    let connection = accepted.join().expect("the thread ends");
    run.kill().expect("it runs without an end");
    run.wait().expect("it ends");
    drop(connection);
    assert_eq!(lines, ["+I[100]", "+I[100]"]);
}

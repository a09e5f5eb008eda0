//! A system that forbids io_uring, as the default profile of containers does.
//!
//! The real thing: a seccomp filter in the process under test, which refuses `io_uring_setup`.

#![expect(unsafe_code, reason = "a seccomp filter is installed with prctl")]

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Output},
};

use crate::program::{flights_library, stderr, stdout};

/// Runs `flights` in two processes where io_uring is forbidden.
fn run(transport: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.arg("run").arg(flights_library()).args([
        "--processes",
        "2",
        "--parallelism",
        "2",
        "--transport",
        transport,
    ]);
    // SAFETY: between fork and exec only prctl is called, which is a plain system call.
    unsafe { command.pre_exec(forbid_io_uring) };
    command.output().expect("the binary starts")
}

/// Refuses `io_uring_setup` from now on, in children, too.
fn forbid_io_uring() -> io::Result<()> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, refuse),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps outlive the calls; the kernel copies them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn auto_falls_back_and_says_why() {
    let output = run("auto");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 36);
    let said = stderr(&output);
    assert!(said.contains("transport: tcp") && said.contains("forbidden"), "{said}");
}

#[test]
fn uring_alone_is_refused_with_the_reason_and_the_fix() {
    let output = run("uring");
    assert!(!output.status.success());
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    for part in ["uring is not available", "io_uring_setup is forbidden", "--transport tcp"] {
        assert!(said.contains(part), "`{part}` in: {said}");
    }
}

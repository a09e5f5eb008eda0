//! The `millstream` command.
#![forbid(unsafe_code)]

mod command;
mod explain;
mod plugins;
mod run;
mod savepoint;
mod watch;

use std::process::ExitCode;

use millstream::RunError;

/// What a shell reports of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match command::execute(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            match error.downcast_ref() {
                Some(RunError::Cancelled) => ExitCode::from(INTERRUPTED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

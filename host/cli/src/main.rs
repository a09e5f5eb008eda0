//! The `millstream` command.
#![forbid(unsafe_code)]

mod command;
mod explain;
mod plugins;
mod run;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::execute(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

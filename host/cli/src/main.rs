//! The `millstream` command.
#![forbid(unsafe_code)]

mod command;
mod plugins;
mod run;

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

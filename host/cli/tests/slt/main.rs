//! SQL as files of sqllogictest: what a query of `host/cli/tests/slt/*.slt` gives here is what a Flink gave.
//!
//! Expected are all changes of the result, each with its kind, in any order; where a query has a comment
//! `-- rows left`, the rows that are left of them. Queries are run by the binary, with one subtask and `memory`
//! state, and again with two and `lsm`, but for `-- late` ones: which rows are late depends on what came before.
//! Each is also killed in the middle, and goes on with another parallelism, but for `-- not killed` ones: watermarks begin
//! anew.
//! `${DATA}` is the folder `data` beside the files.
//!
//! `host/cli/tests/slt/complete.sh` has a real Flink answer all queries, and writes the files anew. With
//! `MILLSTREAM_SLT=millstream` the binary's answers are written, so that `git diff` shows what is different.

mod flink;
mod page;
mod restart;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use flink::Flink;
use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::{
    DB, DBOutput, DefaultColumnType, Runner, default_column_validator, default_normalizer,
    default_validator,
};

/// The folder with the files.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slt");

fn main() -> ExitCode {
    let files = files();
    build_library();
    match std::env::var("MILLSTREAM_SLT").as_deref() {
        Ok("millstream") => return complete(&files, || Millstream),
        Ok(class_path) => {
            let flink = Flink::start(class_path);
            return complete(&files, || flink.clone());
        }
        Err(_) => {}
    }
    let trial = |file: PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || run(&file))
    };
    let page = {
        let files = files.clone();
        Trial::test("the_page_has_all_files", move || page::check(&files))
    };
    let trials = files.into_iter().map(trial).chain([page]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Builds what the binary loads for scripts beside it, with the same profile.
fn build_library() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "millstream-sql"]).current_dir(FILES);
    if Path::new(env!("CARGO_BIN_EXE_millstream"))
        .parent()
        .is_some_and(|at| at.ends_with("release"))
    {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the library of scripts is built");
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FILES).expect("the folder of the files");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "slt")).collect();
    files.sort();
    files
}

/// Writes files anew, with the answers of an engine: those whose names have the first argument in them.
fn complete<E: Engine + 'static>(files: &[PathBuf], engine: impl Fn() -> E) -> ExitCode {
    let part = std::env::args().nth(1).unwrap_or_default();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&part)) {
        println!("{}", file.display());
        let mut runner = Runner::new(|| async { Ok(Session::new(engine())) });
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

fn run(file: &Path) -> Result<(), Failed> {
    let engine = || async { Ok(Session::new(Millstream)) };
    Ok(Runner::new(engine).run_file(file).map_err(|error| error.display(false).to_string())?)
}

/// What answers scripts whose last statement is a query: with the changes of its result, as in `+I[a, 1]`, or
/// the reason why it does not.
trait Engine: Send {
    fn answer(&mut self, script: &str) -> Result<Vec<String>, String>;
}

/// The binary.
struct Millstream;

impl Engine for Millstream {
    fn answer(&mut self, script: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("job.sql");
        std::fs::write(&path, script).map_err(|error| error.to_string())?;
        let answer = |options: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
                .arg("run")
                .arg(&path)
                .args(["--output", "changelog"])
                .args(options)
                .output()
                .map_err(|error| error.to_string())?;
            match output.status.success() {
                true => Ok(lines(&output.stdout)),
                false => Err(lines(&output.stderr).join("\n")),
            }
        };
        let one = answer(&["--parallelism", "1"])?;
        if !script.contains("-- not killed") {
            restart::check(script, &path, &folder.path().join("checkpoints"))?;
        }
        if script.contains("-- late") {
            return Ok(one);
        }
        let two = answer(&["--parallelism", "2", "--state", "lsm"])?;
        match left(&two) == left(&one) {
            true => Ok(one),
            false => {
                Err(format!("two subtasks with lsm state leave {:#?}, one {one:#?}", left(&two)))
            }
        }
    }
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// The rows that are left of some changes, in order.
fn left(changes: &[String]) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for change in changes {
        let (kind, row) = change.split_at_checked(2).unwrap_or(("", change));
        if matches!(kind, "+I" | "+U") {
            rows.push(format!("+I{row}"));
        } else if let Some(at) = rows.iter().position(|other| other.get(2..) == Some(row)) {
            rows.swap_remove(at);
        } else {
            rows.push(format!("{change}, which was not there"));
        }
    }
    rows.sort();
    rows
}

/// The statements of a file so far, for an engine that is given whole scripts.
struct Session<E> {
    engine: E,
    statements: String,
}

impl<E> Session<E> {
    fn new(engine: E) -> Self {
        Self { engine, statements: String::new() }
    }
}

impl<E: Engine> DB for Session<E> {
    type Error = io::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, io::Error> {
        let sql = sql.replace("${DATA}", &format!("{FILES}/data"));
        let is_query = |line: &&str| {
            ["SELECT", "WITH", "VALUES", "("].iter().any(|word| line.starts_with(word))
        };
        if !sql.lines().find(|line| !line.starts_with("--")).iter().any(is_query) {
            self.statements.push_str(&format!("{sql};\n"));
            return Ok(DBOutput::StatementComplete(0));
        }
        let script = format!("{}{sql};\n", self.statements);
        let changes = self.engine.answer(&script).map_err(io::Error::other)?;
        let rows = match sql.contains("-- rows left") {
            true => left(&changes),
            false => changes,
        };
        let rows = rows.into_iter().map(|row| vec![row]).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows })
    }
}

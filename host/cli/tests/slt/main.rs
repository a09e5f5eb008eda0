//! SQL as files of sqllogictest: what a query of `host/cli/tests/slt/*.slt` gives here is what a Flink gave.
//!
//! Expected are all changes of the result, each with its kind, in any order; where a query has a comment
//! `-- rows left`, the rows that are left of them. Queries are run by the binary, with one subtask and `memory`
//! state, and again with two and `lsm`, but for `-- late` ones: which rows are late depends on what came before.
//! `${DATA}` is the folder `data` beside the files.
//!
//! `host/cli/tests/slt/complete.sh` has a real Flink answer all queries, and writes the files anew.

mod flink;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

/// The folder with the files.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slt");

fn main() -> ExitCode {
    let files = files();
    if let Some(java) = std::env::var_os("MILLSTREAM_FLINK") {
        return flink::complete(&java, &files);
    }
    let trial = |file: PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || run(&file))
    };
    libtest_mimic::run(&Arguments::from_args(), files.into_iter().map(trial).collect()).exit_code()
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FILES).expect("the folder of the files");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "slt")).collect();
    files.sort();
    files
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

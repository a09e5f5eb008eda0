//! The list of the files on the page about Flink's SQL. `WRITE_DOCS=1` writes it anew.

use std::{fmt::Write, fs, path::PathBuf};

use libtest_mimic::Failed;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql.md");
/// The list is between these.
const BEGIN: &str = "<!-- the files of queries -->\n";
const END: &str = "<!-- end of the files -->\n";

/// Checks that the page lists what the files have.
pub(crate) fn check(files: &[PathBuf]) -> Result<(), Failed> {
    let page = fs::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("the page has no list of files")?;
    let (found, after) = rest.split_once(END).ok_or("the list of files does not end")?;
    let list = list(files)?;
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(PAGE, [before, BEGIN, &list, END, after].concat())?;
    } else if found != list {
        return Err("docs/sql.md lists other files: WRITE_DOCS=1 writes it anew".into());
    }
    Ok(())
}

/// A line for each file: its name, how many queries it has, to how many rows come late, and its first comment.
fn list(files: &[PathBuf]) -> Result<String, Failed> {
    let mut list =
        String::from("| File | Queries | With late rows | |\n| --- | --- | --- | --- |\n");
    for file in files {
        let text = fs::read_to_string(file)?;
        let queries = text.lines().filter(|line| line.starts_with("query")).count();
        let late = text.lines().filter(|line| line.trim() == "-- late").count();
        let comment = text.lines().map_while(|line| line.strip_prefix("# "));
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let comment = comment.collect::<Vec<_>>().join(" ");
        writeln!(list, "| `{name}` | {queries} | {late} | {comment} |")?;
    }
    Ok(list)
}

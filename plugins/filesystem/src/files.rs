//! Which files a path names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use millstream_sdk::Error;

use crate::partition::unescape;

/// The files that `path` names, in order: itself, those of the directory, or those that the glob
/// matches. With names of `directories` they are those of `name=value/…` below. Hidden files, such as those that a
/// sink is still writing, and those whose names begin with `_`, are left out unless they are asked for by name.
pub(crate) fn matching(path: &str, directories: &[String]) -> Result<Vec<PathBuf>, Error> {
    let given = Path::new(path);
    let mut files = match fs::metadata(given) {
        Ok(metadata) if metadata.is_dir() && !directories.is_empty() => {
            in_partitions(given, directories)?
        }
        Ok(metadata) if metadata.is_dir() => in_directory(given)?,
        Ok(_) => vec![given.to_owned()],
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains(['*', '?', '[']) => {
            globbed(path)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::new(format!("there is no file {path}: check the option `path`")));
        }
        Err(error) => return Err(Error::from(error).at(path)),
    };
    if files.is_empty() {
        return Err(Error::new(format!("no file matches {path}: check the option `path`")));
    }
    files.sort();
    Ok(files)
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_')));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    Ok(files)
}

/// The files of directories whose names are those of columns, the outermost first, with their values.
fn in_partitions(directory: &Path, names: &[String]) -> Result<Vec<PathBuf>, Error> {
    let Some((name, inner)) = names.split_first() else { return in_directory(directory) };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let part = path.file_name().and_then(|part| part.to_str()?.split_once('='));
        if part.is_some_and(|(found, _)| unescape(found) == *name) && path.is_dir() {
            files.extend(in_partitions(&path, inner)?);
        }
    }
    Ok(files)
}

fn globbed(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let visible = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let paths = glob::glob_with(pattern, visible)
        .map_err(|error| Error::new(format!("the path {pattern} is no good pattern: {error}")))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| Error::new(error.to_string()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

//! What the system has refused, in the words of the core.

use std::{io, path::Path};

use millstream_checkpoint::storage::{Cause, Operation, StorageError};

pub(crate) fn error(operation: Operation, path: &Path, io: &io::Error) -> StorageError {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let cause = cause(io, directory);
    StorageError { operation, path: path.display().to_string(), cause }
}

/// Why it refused; `directory` is what is full, if it is that.
pub(crate) fn cause(io: &io::Error, directory: &Path) -> Cause {
    match io.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Cause::Full { directory: directory.display().to_string() }
        }
        io::ErrorKind::FileTooLarge => Cause::TooLarge,
        io::ErrorKind::ReadOnlyFilesystem => Cause::ReadOnly,
        io::ErrorKind::PermissionDenied => Cause::Forbidden,
        io::ErrorKind::NotADirectory => Cause::NotADirectory,
        io::ErrorKind::NotFound => Cause::NotFound,
        io::ErrorKind::AlreadyExists => Cause::Exists,
        _ => Cause::System { errno: io.raw_os_error(), message: text(io) },
    }
}

/// What the system says, without the number that follows it.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_system_have_words_and_a_remedy() {
        let directory = Path::new("/checkpoints");
        for (kind, words) in [
            (io::ErrorKind::StorageFull, "no space is left in /checkpoints"),
            (io::ErrorKind::ReadOnlyFilesystem, "read-only; use a directory"),
            (io::ErrorKind::PermissionDenied, "change the owner or the mode"),
            (io::ErrorKind::NotADirectory, "it is not a directory"),
            (io::ErrorKind::NotFound, "there is no such directory; create it"),
        ] {
            let error = error(Operation::Open, &directory.join("job"), &kind.into());
            let text = error.to_string();
            assert!(text.starts_with("cannot keep checkpoints in /checkpoints/job: "), "{text}");
            assert!(text.contains(words), "{text}");
        }
        let other = cause(&io::Error::from_raw_os_error(5), directory);
        assert_eq!(other.to_string(), "input/output error (errno 5)");
    }
}

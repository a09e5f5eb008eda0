//! Splits: a file, or a range of its bytes.

use std::path::{Path, PathBuf};

use millstream_sdk::Error;

/// A part of a file that one reader reads.
///
/// A record belongs to the split in which its first byte lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// The first byte.
    pub(crate) start: u64,
    /// The byte after the last; `u64::MAX` for the end of the file, whatever its length.
    pub(crate) end: u64,
    /// A record begins at `start`; it is what is left of a split that was begun before.
    pub(crate) exact: bool,
    /// The file.
    pub(crate) path: PathBuf,
}

impl Split {
    /// The whole of a file.
    pub(crate) fn whole(path: &Path) -> Self {
        Self { start: 0, end: u64::MAX, exact: false, path: path.into() }
    }

    /// A file of `length` bytes in parts of about `size`.
    pub(crate) fn parts(path: &Path, length: u64, size: u64) -> Vec<Self> {
        let count = (length / size.max(1)).max(1);
        let bound = |part: u64| (u128::from(length) * u128::from(part) / u128::from(count)) as u64;
        let end = |part| if part + 1 == count { u64::MAX } else { bound(part + 1) };
        (0..count)
            .map(|part| Self {
                start: bound(part),
                end: end(part),
                exact: false,
                path: path.into(),
            })
            .collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        let mut bytes = Vec::new();
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.end.to_le_bytes());
        bytes.push(u8::from(self.exact));
        bytes.extend(self.path.as_os_str().as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        use std::os::unix::ffi::OsStrExt;
        let damaged = || Error::new("a split of the filesystem source is damaged");
        let (start, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let (end, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (exact, path) = rest.split_first().ok_or_else(damaged)?;
        Ok(Self {
            start: u64::from_le_bytes(*start),
            end: u64::from_le_bytes(*end),
            exact: *exact != 0,
            path: Path::new(std::ffi::OsStr::from_bytes(path)).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_once() {
        for (length, size) in [(0, 10), (9, 10), (10, 10), (25, 10), (1 << 40, 64 << 20)] {
            let parts = Split::parts(Path::new("f"), length, size);
            assert_eq!(parts[0].start, 0);
            assert_eq!(parts.last().unwrap().end, u64::MAX);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn splits_round_trip() {
        let split = Split { start: 3, end: 9, exact: true, path: "/tmp/ä b.csv".into() };
        assert_eq!(Split::decode(&split.encode()), Ok(split));
        assert!(Split::decode(&[0; 16]).is_err());
    }
}

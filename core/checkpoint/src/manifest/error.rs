//! What is wrong with bytes that should be a manifest.

use core::fmt;

use crate::bytes::Truncated;

/// Bytes that are not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Where, from 0.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the manifest is damaged at byte {}: {}; restore an older checkpoint",
            self.offset, self.what
        )
    }
}

impl core::error::Error for ManifestError {}

/// A fault whose place is known to the caller.
pub(super) struct Fault(pub(super) &'static str);

impl From<Truncated> for Fault {
    fn from(_: Truncated) -> Self {
        Self("it ends here")
    }
}

//! The right to commit.

use millstream_data::hash;

use crate::manifest::{Manifest, ManifestError};

/// Bytes of a permit in a message.
pub const PERMIT_BYTES: usize = 16;

/// The right to commit what belongs to a checkpoint, and to those before it.
///
/// Only a complete checkpoint mints one: the [coordinator](crate::Coordinator) when the manifest is
/// durable, [`restored`](Self::restored) from a manifest that was. To the workers it travels
/// [as bytes](Self::to_bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    checkpoint: u64,
}

impl Permit {
    /// The coordinator knows that the manifest is durable.
    pub(crate) fn mint(checkpoint: u64) -> Self {
        Self { checkpoint }
    }

    /// Reads the metadata file of a checkpoint, which is there only if the checkpoint is complete.
    ///
    /// # Errors
    /// [`ManifestError`] if the bytes are no manifest.
    pub fn restored(metadata: &[u8]) -> Result<(Manifest, Self), ManifestError> {
        let manifest = Manifest::decode(metadata)?;
        let permit = Self::mint(manifest.checkpoint);
        Ok((manifest, permit))
    }

    /// The complete checkpoint.
    pub fn checkpoint(self) -> u64 {
        self.checkpoint
    }

    /// The permit as a message to the workers.
    pub fn to_bytes(self) -> [u8; PERMIT_BYTES] {
        let id = self.checkpoint.to_le_bytes();
        let mut bytes = [0; PERMIT_BYTES];
        let (front, back) = bytes.split_at_mut(id.len());
        front.copy_from_slice(&id);
        back.copy_from_slice(&sum(&id).to_le_bytes());
        bytes
    }

    /// The permit of a message, `None` if the bytes are none.
    pub fn from_bytes(bytes: &[u8; PERMIT_BYTES]) -> Option<Self> {
        let (id, check) = bytes.split_first_chunk::<8>()?;
        (check == sum(id).to_le_bytes()).then(|| Self::mint(u64::from_le_bytes(*id)))
    }
}

/// Set apart from other checksums, so that no other sixteen bytes are a permit by accident.
fn sum(id: &[u8; 8]) -> u64 {
    hash::bytes(hash::bytes(hash::SEED, b"permit"), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_permit_reads_as_one() {
        let permit = Permit::mint(7);
        let bytes = permit.to_bytes();
        assert_eq!(Permit::from_bytes(&bytes), Some(permit));
        assert_eq!(Permit::from_bytes(&[0; PERMIT_BYTES]), None);
        for at in 0..PERMIT_BYTES {
            let mut other = bytes;
            other[at] ^= 1;
            assert_eq!(Permit::from_bytes(&other), None, "byte {at}");
        }
    }
}

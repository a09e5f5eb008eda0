//! Where in the table an entry belongs.

use crate::Owned;

/// The key group of a key and its position there, a fraction of 2^64. The group is the key's alone;
/// the position depends on the namespace, too, so that a key may have many.
#[inline(always)]
pub(in crate::memory) fn position(owned: &Owned, hash: u64, namespace: &[u8]) -> (u32, u64) {
    owned.position(hash, namespace)
}

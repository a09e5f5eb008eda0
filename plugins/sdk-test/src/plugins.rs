//! The plugins of a test: the one under test, and those with which it is used.

use millstream_abi::EntryFn;
use millstream_loader::Registry;

/// A registry with this plugin and the bundled formats.
///
/// # Panics
/// If the plugin is refused.
pub(crate) fn registry(entry: EntryFn) -> Registry {
    let mut registry = Registry::new();
    add(&mut registry, entry);
    // It is there already if it is the one under test.
    let _ = registry.bundle(millstream_format::plugin);
    registry
}

/// Adds a plugin.
///
/// # Panics
/// If it is refused.
pub(crate) fn add(registry: &mut Registry, entry: EntryFn) {
    if let Err(error) = registry.bundle(entry) {
        panic!("{error}");
    }
}

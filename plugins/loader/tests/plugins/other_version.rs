//! Built for another version of the interface.

mod raw;

use millstream_abi::{Host, Plugin, VERSION};

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let plugin = Plugin { version: VERSION + 1, ..raw::plugin("other_version", &[]) };
    Box::leak(Box::new(plugin))
}

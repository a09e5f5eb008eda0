//! Loading a library.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use millstream_abi::{ENTRY_SYMBOL, EntryFn};

use crate::{LoadError, PluginInfo, plugin::read_plugin};

/// Others may write.
const WORLD_WRITABLE: u32 = 0o002;

pub(crate) fn load(path: &Path) -> Result<PluginInfo, LoadError> {
    // The linker searches its own path for a name without a slash; a plugin is a file.
    let path = path.canonicalize().map_err(|error| LoadError::File { path: path.into(), error })?;
    let metadata =
        fs::metadata(&path).map_err(|error| LoadError::File { path: path.clone(), error })?;
    if metadata.permissions().mode() & WORLD_WRITABLE != 0 {
        return Err(LoadError::WorldWritable { path });
    }
    // SAFETY: loading runs the library's initialisers: plugins are trusted code, which is why a
    // file that anyone may write is refused.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| LoadError::Library { path: path.clone(), error })?;
    // SAFETY: the symbol's name carries its version, and so its type.
    let entry: Result<Symbol<EntryFn>, _> = unsafe { library.get(ENTRY_SYMBOL.as_bytes()) };
    let entry = match entry {
        Ok(entry) => *entry,
        Err(_) => return Err(LoadError::Symbol { path, symbol: ENTRY_SYMBOL }),
    };
    // Never unloaded: threads, thread-locals and tables of the plugin may outlive any moment at
    // which it would seem safe.
    std::mem::forget(library);
    read_plugin(&path.display().to_string(), entry)
}

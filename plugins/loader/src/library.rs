//! Loading a library.

#[cfg(feature = "layout")]
use std::ffi::c_void;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use millstream_abi::{ENTRY_SYMBOL, EntryFn, LAYOUT_SYMBOL};

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
    // Before any of its code is called.
    let layout = check_layout(&library, &path);
    // Never unloaded: threads, thread-locals and tables of the plugin may outlive any moment at
    // which it would seem safe.
    std::mem::forget(library);
    let described = layout?;
    let plugin = read_plugin(&path.display().to_string(), entry)?;
    if plugin.is_rust && !described && cfg!(feature = "layout") {
        let (name, symbol) = (plugin.name, LAYOUT_SYMBOL);
        return Err(LoadError::NoLayout { path, name, symbol });
    }
    Ok(plugin)
}

/// Whether the library describes its layout; an error if that is not the engine's.
#[cfg(feature = "layout")]
fn check_layout(library: &Library, path: &Path) -> Result<bool, LoadError> {
    // SAFETY: only the address is used here.
    let symbol: Result<Symbol<*const c_void>, _> = unsafe { library.get(LAYOUT_SYMBOL.as_bytes()) };
    let Ok(symbol) = symbol else { return Ok(false) };
    // SAFETY: the symbol is what `export_layout!` defines, and the library is never unloaded.
    let checked = unsafe { millstream_layout::check(*symbol) };
    let refused = |difference| LoadError::Layout { path: path.into(), difference };
    checked.map(|()| true).map_err(refused)
}

/// Nothing is compared in this build.
#[cfg(not(feature = "layout"))]
fn check_layout(_library: &Library, _path: &Path) -> Result<bool, LoadError> {
    Ok(false)
}

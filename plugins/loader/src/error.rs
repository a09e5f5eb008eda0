//! Why a plugin was refused, or a call of it failed.

use std::path::PathBuf;

use millstream_dataflow::TaskError;

/// Why a plugin was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is not there or cannot be read.
    #[error("plugin {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Anyone may write the file.
    #[error(
        "plugin {path} is writable by everyone, so anyone could make the engine run their code: \
         chmod o-w it"
    )]
    WorldWritable {
        /// The file.
        path: PathBuf,
    },
    /// The dynamic linker refused the file.
    #[error("plugin {path} is not a library that this machine can load: {error}")]
    Library {
        /// The file.
        path: PathBuf,
        /// What the linker said.
        error: libloading::Error,
    },
    /// The library exports no entry.
    #[error(
        "plugin {path} does not export the symbol `{symbol}`: it is no Millstream plugin, or its \
         crate lacks `millstream_sdk::export!(plugin);`"
    )]
    Symbol {
        /// The file.
        path: PathBuf,
        /// The symbol.
        symbol: &'static str,
    },
    /// The entry gave no table: it panicked or gave up.
    #[error("plugin {origin} failed at load: {reason}")]
    Entry {
        /// The file, or `bundled`.
        origin: String,
        /// What the plugin told the host's log.
        reason: String,
    },
    /// The plugin's compiler laid out the structs of the interface differently.
    #[error(
        "plugin {path} has another layout of the plugin interface than this engine, rebuild it \
         with the matching millstream-sdk: {difference}"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The plugin is written in Rust, and does not say how the interface is laid out in it.
    #[error(
        "plugin {path} (`{name}`) is written in Rust and does not export `{symbol}`, by which its \
         layout is checked: build it with the feature `layout` of millstream-sdk"
    )]
    NoLayout {
        /// The file.
        path: PathBuf,
        /// The plugin's name.
        name: String,
        /// The symbol.
        symbol: &'static str,
    },
    /// The plugin was built for another version of the interface.
    #[error(
        "plugin {origin} was built for version {found} of the plugin interface, this engine has \
         {expected}: rebuild the plugin with the matching millstream-sdk"
    )]
    Version {
        /// The file, or the name of a bundled plugin.
        origin: String,
        /// The engine's version.
        expected: u32,
        /// The plugin's.
        found: u32,
    },
    /// A table is smaller than this engine needs, or a field holds what it must not.
    #[error("plugin {origin}: its table `{table}` is damaged: {what}")]
    Table {
        /// The file, or the name of a bundled plugin.
        origin: String,
        /// The table.
        table: String,
        /// What is wrong with it.
        what: String,
    },
    /// Two plugins, or two extensions of one kind, have the same name.
    #[error("{what} `{name}` of plugin {origin} is already there, from plugin {first}: remove one")]
    Duplicate {
        /// `plugin`, `source` and so on.
        what: &'static str,
        /// The name.
        name: String,
        /// The plugin that comes second.
        origin: String,
        /// The plugin that came first.
        first: String,
    },
}

/// Why a call of a plugin failed: what the plugin said, with its name in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    message: String,
}

impl CallError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The same error with the place in front.
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message) }
    }
}

impl From<CallError> for TaskError {
    fn from(error: CallError) -> Self {
        Self::new(error.message)
    }
}

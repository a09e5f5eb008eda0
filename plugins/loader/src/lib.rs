//! Loads plugins, checks them, and runs what they offer.
//!
//! A [`Registry`] knows plugins, whether bundled or loaded from a file; both come through the same
//! door, an [`EntryFn`](millstream_abi::EntryFn). What a plugin offers becomes an [`OpenSource`],
//! an [`OpenSink`], an [`OpenFormat`], an
//! [`OpenScalar`] or other function, or an [`OpenJob`], safe types over its C tables: what comes back is checked,
//! pages are validated once, and an error names the plugin. A connector that asks for a format, by
//! an option of that type, is lent it while it is being opened, whichever plugin offers it.

mod call;
mod chain;
mod error;
mod format;
mod function;
mod job;
mod library;
mod options;
mod plugin;
mod registry;
mod sink;
mod source;
mod state;

pub use error::{CallError, LoadError};
pub use format::{
    Block, DecodeError, Decoded, Decoder, Encoder, InputInfo, OpenFormat, Properties,
};
pub use function::{
    FunctionInfo, FunctionKind, OpenAggregate, OpenScalar, OpenTableFunction, ResultPage,
    SignatureInfo,
};
pub use job::OpenJob;
pub use options::{OptionInfo, OptionType, check_options};
pub use plugin::{ExtensionInfo, Kind, PluginInfo};
pub use registry::{Registry, nearest};
pub use sink::{OpenSink, Writer};
pub use source::{OpenSource, Reader, ReaderPage};

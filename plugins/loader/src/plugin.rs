//! What a plugin says of itself, read and checked once.

use std::{cell::RefCell, ffi::c_void, slice, str};

use millstream_abi::{
    BorrowedStr, EntryFn, Extension, FormatTable, FunctionTable, JobTable, KIND_FORMAT,
    KIND_FUNCTION, KIND_JOB, KIND_SINK, KIND_SOURCE, LANGUAGE_RUST, Plugin, SinkTable, SourceTable,
    VERSION,
};

use crate::{
    FunctionInfo, LoadError, call::Name, format::open_format, function, options::OptionInfo,
};

/// A plugin.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence about it.
    pub summary: String,
    /// The file, or `bundled`.
    pub origin: String,
    /// What it offers.
    pub extensions: Vec<ExtensionInfo>,
    /// It says that it is written in Rust.
    pub(crate) is_rust: bool,
}

/// One thing that a plugin offers.
#[derive(Clone, Debug)]
pub struct ExtensionInfo {
    /// The name that programs call it by.
    pub name: String,
    /// One sentence about it.
    pub summary: String,
    /// The options that it takes.
    pub options: Vec<OptionInfo>,
    /// If it is a function: what it takes and gives.
    pub function: Option<FunctionInfo>,
    pub(crate) table: Table,
}

/// What kind of thing an extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source of rows.
    Source,
    /// A sink of rows.
    Sink,
    /// A compiled job.
    Job,
    /// A format of rows as bytes.
    Format,
    /// A scalar, aggregate or table function.
    Function,
}

impl Kind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Job => "job",
            Self::Format => "format",
            Self::Function => "function",
        }
    }
}

/// The functions of an extension. Copies: the plugin cannot change them later.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    Source(SourceTable),
    Sink(SinkTable),
    Job(JobTable),
    Format(FormatTable),
    Function(FunctionTable),
}

impl ExtensionInfo {
    /// What kind of thing it is.
    pub fn kind(&self) -> Kind {
        match self.table {
            Table::Source(_) => Kind::Source,
            Table::Sink(_) => Kind::Sink,
            Table::Job(_) => Kind::Job,
            Table::Format(_) => Kind::Format,
            Table::Function(_) => Kind::Function,
        }
    }
}

/// Calls a plugin's entry and reads its tables.
pub(crate) fn read_plugin(origin: &str, entry: EntryFn) -> Result<PluginInfo, LoadError> {
    // SAFETY: the entry is that of a plugin, by its symbol or because it is bundled; the host's
    // table is static.
    let plugin = unsafe {
        LAST_ERROR.take();
        entry(&raw const HOST.0)
    };
    if plugin.is_null() {
        let reason = LAST_ERROR.take();
        let reason = reason.unwrap_or_else(|| "its entry returned no table".into());
        return Err(LoadError::Entry { origin: origin.into(), reason });
    }
    // Size and version come first, and are all that is read before they are known to be right.
    // SAFETY: a plugin of any version begins with these two numbers.
    let (size, version) = unsafe { (*plugin.cast::<u32>(), *plugin.cast::<u32>().add(1)) };
    check_version(origin, version)?;
    check_size::<Plugin>(origin, "plugin", size)?;
    // SAFETY: the plugin says that it is of our version and at least as large as we know it.
    let plugin = unsafe { &*plugin };
    let reader = TableReader { origin };
    let name = reader.text("plugin", "name", plugin.name)?;
    // SAFETY: the plugin lends as many extensions as it says, for ever.
    let extensions = unsafe { list(plugin.extensions, plugin.extensions_length) };
    Ok(PluginInfo {
        version: reader.text("plugin", "version", plugin.plugin_version)?,
        summary: reader.text("plugin", "summary", plugin.summary)?,
        origin: origin.into(),
        extensions: extensions
            .iter()
            .filter_map(|e| reader.extension(e).transpose())
            .collect::<Result<_, _>>()?,
        is_rust: plugin.language == LANGUAGE_RUST,
        name,
    })
}

/// What this engine offers to plugins.
static HOST: HostTable = HostTable(millstream_abi::Host {
    size: size_of::<millstream_abi::Host>() as u32,
    version: VERSION,
    context: std::ptr::null_mut(),
    log,
    open_format,
});

#[repr(transparent)]
struct HostTable(millstream_abi::Host);

// SAFETY: the table is never written, and its functions may be called from any thread.
unsafe impl Sync for HostTable {}

unsafe extern "C" fn log(_context: *mut c_void, level: u32, message: BorrowedStr) {
    // SAFETY: the plugin lends the message for the call.
    let message = unsafe { list(message.start, message.length) };
    let message = String::from_utf8_lossy(message);
    if level <= LOG_SHOWN {
        eprintln!("{message}");
    }
    if level == LOG_ERROR {
        LAST_ERROR.set(Some(message.into_owned()));
    }
}

/// The level of errors in the log.
const LOG_ERROR: u32 = 1;
/// Messages up to this level are shown: errors, warnings, information.
const LOG_SHOWN: u32 = 3;

thread_local! {
    /// What a plugin told the log last as an error: an entry that gives up has no other way.
    static LAST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct TableReader<'a> {
    origin: &'a str,
}

impl TableReader<'_> {
    /// `None` for a kind that this engine does not know.
    fn extension(&self, extension: &Extension) -> Result<Option<ExtensionInfo>, LoadError> {
        check_size::<Extension>(self.origin, "extension", extension.size)?;
        let name = self.text("extension", "name", extension.name)?;
        if extension.table.is_null() {
            return Err(self.damaged(&name, "it has no functions"));
        }
        // SAFETY: every table begins with size and version.
        let (size, version) =
            unsafe { (*extension.table.cast::<u32>(), *extension.table.cast::<u32>().add(1)) };
        check_version(self.origin, version)?;
        // SAFETY: each is read only if it is as large as we know it, and no function is null.
        let table = unsafe {
            match extension.kind {
                KIND_SOURCE => {
                    self.check_functions::<SourceTable>(&name, size, extension.table)?;
                    Table::Source(*extension.table.cast())
                }
                KIND_SINK => {
                    self.check_functions::<SinkTable>(&name, size, extension.table)?;
                    Table::Sink(*extension.table.cast())
                }
                KIND_JOB => {
                    self.check_functions::<JobTable>(&name, size, extension.table)?;
                    Table::Job(*extension.table.cast())
                }
                KIND_FORMAT => {
                    self.check_functions::<FormatTable>(&name, size, extension.table)?;
                    Table::Format(*extension.table.cast())
                }
                KIND_FUNCTION => {
                    self.check_functions::<FunctionTable>(&name, size, extension.table)?;
                    Table::Function(*extension.table.cast())
                }
                _ => return Ok(None),
            }
        };
        // SAFETY: the plugin lends as many options as it says, for ever.
        let options = unsafe { list(extension.options, extension.options_length) };
        let option = |spec: &millstream_abi::OptionSpec| {
            let text = |what, text| self.text(&name, what, text);
            let default = text("option default", spec.default_value)?;
            let (option, doc) = (text("option name", spec.name)?, text("option doc", spec.doc)?);
            OptionInfo::new(option, spec.value_type, spec.flags, default, doc)
                .ok_or_else(|| self.damaged(&name, "an option has a type that does not exist"))
        };
        let function = match &table {
            Table::Function(table) => {
                let owner: Name = format!("function `{name}`").into();
                // SAFETY: the table was just checked, and plugins are never unloaded.
                let described = unsafe { function::describe(&owner, table) };
                Some(described.map_err(|error| self.damaged(&name, &error.to_string()))?)
            }
            _ => None,
        };
        Ok(Some(ExtensionInfo {
            function,
            summary: self.text(&name, "summary", extension.summary)?,
            options: options.iter().map(option).collect::<Result<_, _>>()?,
            table,
            name,
        }))
    }

    /// Checks that a table is as large as we know it and that none of its functions is null.
    ///
    /// # Safety
    /// `table` points to `size` bytes.
    unsafe fn check_functions<T>(
        &self,
        name: &str,
        size: u32,
        table: *const c_void,
    ) -> Result<(), LoadError> {
        check_size::<T>(self.origin, name, size)?;
        // Two numbers of four bytes, then functions up to the end.
        let functions = (size_of::<T>() - 8) / size_of::<usize>();
        // SAFETY: within the size that was just checked. A function that is null is no value of its
        // type, so addresses are looked at.
        let addresses =
            unsafe { slice::from_raw_parts(table.cast::<u8>().add(8).cast::<usize>(), functions) };
        match addresses.iter().position(|address| *address == 0) {
            Some(at) => Err(self.damaged(name, &format!("function {} is null", at + 1))),
            None => Ok(()),
        }
    }

    fn text(&self, table: &str, field: &str, text: BorrowedStr) -> Result<String, LoadError> {
        // SAFETY: the plugin lends the text for ever.
        let bytes = unsafe { list(text.start, text.length) };
        let text = str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|_| self.damaged(table, &format!("{field} is not UTF-8")))
    }

    fn damaged(&self, table: &str, what: &str) -> LoadError {
        LoadError::Table { origin: self.origin.into(), table: table.into(), what: what.into() }
    }
}

/// # Safety
/// `start` points to `length` items that live as long as the result, or `length` is 0.
unsafe fn list<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if length == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start, length) }
}

fn check_version(origin: &str, found: u32) -> Result<(), LoadError> {
    if found == VERSION {
        return Ok(());
    }
    Err(LoadError::Version { origin: origin.into(), expected: VERSION, found })
}

fn check_size<T>(origin: &str, table: &str, found: u32) -> Result<(), LoadError> {
    let expected = size_of::<T>();
    if found as usize >= expected {
        return Ok(());
    }
    let what = format!("it has {found} bytes, this engine needs {expected}");
    Err(LoadError::Table { origin: origin.into(), table: table.into(), what })
}

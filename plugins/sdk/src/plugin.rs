//! Putting a plugin together.

use std::ffi::c_void;

use millstream_abi::{
    Extension, Host, KIND_FORMAT, KIND_FUNCTION, KIND_JOB, KIND_SINK, KIND_SOURCE, LANGUAGE_RUST,
    OptionSpec, Plugin, VERSION,
};

use crate::{
    borrow::lend_str,
    format,
    format::Format,
    function::{self, Aggregate, ScalarFunction, TableFunction},
    host, job,
    job::Job,
    options::OptionDoc,
    sink,
    sink::Sink,
    source,
    source::Source,
    thunk,
};

/// What a plugin offers, piece by piece. The [`plugin!`](crate::plugin!) macro uses it.
#[derive(Debug)]
pub struct PluginBuilder {
    name: &'static str,
    version: &'static str,
    summary: &'static str,
    extensions: Vec<Extension>,
}

impl PluginBuilder {
    /// A plugin that offers nothing yet.
    pub fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        Self { name, version, summary, extensions: Vec::new() }
    }

    /// The plugin with a source.
    pub fn source<S: Source>(self) -> Self {
        let table: *const _ = const { &source::Thunks::<S>::TABLE };
        self.extension(KIND_SOURCE, S::NAME, S::SUMMARY, S::OPTIONS, table.cast())
    }

    /// The plugin with a sink.
    pub fn sink<S: Sink>(self) -> Self {
        let table: *const _ = const { &sink::Thunks::<S>::TABLE };
        self.extension(KIND_SINK, S::NAME, S::SUMMARY, S::OPTIONS, table.cast())
    }

    /// The plugin with a format.
    pub fn format<F: Format>(self) -> Self {
        let table: *const _ = const { &format::Thunks::<F>::TABLE };
        self.extension(KIND_FORMAT, F::NAME, F::SUMMARY, F::OPTIONS, table.cast())
    }

    /// The plugin with a scalar function.
    pub fn scalar<F: ScalarFunction>(self) -> Self {
        let table: *const _ = const { &function::ScalarThunks::<F>::TABLE };
        self.extension(KIND_FUNCTION, F::NAME, F::SUMMARY, &[], table.cast())
    }

    /// The plugin with an aggregate function.
    pub fn aggregate<F: Aggregate>(self) -> Self {
        let table: *const _ = const { &function::AggregateThunks::<F>::TABLE };
        self.extension(KIND_FUNCTION, F::NAME, F::SUMMARY, &[], table.cast())
    }

    /// The plugin with a table function.
    pub fn table<F: TableFunction>(self) -> Self {
        let table: *const _ = const { &function::TableThunks::<F>::TABLE };
        self.extension(KIND_FUNCTION, F::NAME, F::SUMMARY, &[], table.cast())
    }

    /// The plugin with a job.
    pub fn job<J: Job>(self) -> Self {
        let table: *const _ = const { &job::Thunks::<J>::TABLE };
        self.extension(KIND_JOB, J::NAME, J::SUMMARY, J::OPTIONS, table.cast())
    }

    /// The plugin's table, which lives as long as the process.
    pub fn leak(self) -> *const Plugin {
        let extensions = Vec::leak(self.extensions);
        Box::leak(Box::new(Plugin {
            size: size_of::<Plugin>() as u32,
            version: VERSION,
            name: lend_str(self.name),
            plugin_version: lend_str(self.version),
            summary: lend_str(self.summary),
            extensions: extensions.as_ptr(),
            extensions_length: extensions.len(),
            language: LANGUAGE_RUST,
        }))
    }

    fn extension(
        mut self,
        kind: u32,
        name: &'static str,
        summary: &'static str,
        options: &'static [OptionDoc],
        table: *const c_void,
    ) -> Self {
        let options: Vec<OptionSpec> = options.iter().map(OptionDoc::spec).collect();
        let options = Vec::leak(options);
        self.extensions.push(Extension {
            size: size_of::<Extension>() as u32,
            kind,
            name: lend_str(name),
            summary: lend_str(summary),
            options: options.as_ptr(),
            options_length: options.len(),
            table,
        });
        self
    }
}

/// Runs a plugin's entry behind the panic fence: null if it panicked, and the host's log has why.
///
/// # Safety
/// `host` is null, or what a loader passes to an entry, which lives as long as the process.
#[doc(hidden)]
pub unsafe fn enter(host: *const Host, build: fn() -> PluginBuilder) -> *const Plugin {
    // SAFETY: the caller's promise.
    unsafe { host::keep(host) };
    match std::panic::catch_unwind(|| build().leak()) {
        Ok(plugin) => plugin,
        Err(panic) => {
            // SAFETY: the caller's promise; null is a host without a log.
            if let Some(host) = unsafe { host.as_ref() } {
                let message = thunk::panic_message(&*panic);
                // SAFETY: the host's function, with its own context and text for the call.
                unsafe { (host.log)(host.context, LOG_ERROR, lend_str(&message)) };
            }
            std::ptr::null()
        }
    }
}

/// The level of errors in the host's log.
const LOG_ERROR: u32 = 1;

/// Defines `plugin`, the entry function of a plugin.
///
/// `sources`, `sinks`, `formats`, `scalars`, `aggregates`, `tables` (functions) and `jobs` list, in
/// this order, the types that it offers; each list may be left out. A
/// bundled plugin is this function; a library also [exports](crate::export!) it.
#[macro_export]
macro_rules! plugin {
    (
        name: $name:literal,
        summary: $summary:literal
        $(, sources: [$($source:ty),* $(,)?])?
        $(, sinks: [$($sink:ty),* $(,)?])?
        $(, formats: [$($format:ty),* $(,)?])?
        $(, scalars: [$($scalar:ty),* $(,)?])?
        $(, aggregates: [$($aggregate:ty),* $(,)?])?
        $(, tables: [$($table:ty),* $(,)?])?
        $(, jobs: [$($job:ty),* $(,)?])?
        $(,)?
    ) => {
        /// The plugin's entry.
        ///
        /// # Safety
        /// `host` is null, or what a loader passes.
        pub unsafe extern "C" fn plugin(
            host: *const $crate::abi::Host,
        ) -> *const $crate::abi::Plugin {
            let build = || {
                $crate::plugin::PluginBuilder::new($name, env!("CARGO_PKG_VERSION"), $summary)
                    $($(.source::<$source>())*)?
                    $($(.sink::<$sink>())*)?
                    $($(.format::<$format>())*)?
                    $($(.scalar::<$scalar>())*)?
                    $($(.aggregate::<$aggregate>())*)?
                    $($(.table::<$table>())*)?
                    $($(.job::<$job>())*)?
            };
            // SAFETY: a loader calls this with its own table.
            unsafe { $crate::plugin::enter(host, build) }
        }
    };
}

/// Exports a plugin's entry under the name that loaders look for. Once in a library.
#[macro_export]
macro_rules! export {
    ($entry:path) => {
        /// The symbol that loaders look for.
        ///
        /// # Safety
        /// As that of the entry.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn millstream_plugin_v1(
            host: *const $crate::abi::Host,
        ) -> *const $crate::abi::Plugin {
            let entry: $crate::abi::EntryFn = $entry;
            // SAFETY: the caller's promise.
            unsafe { entry(host) }
        }

        $crate::export_layout! {}
    };
}

/// Describes the plugin interface in a library, for the host to compare.
#[cfg(feature = "layout")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_layout {
    () => {
        $crate::layout::export_layout! {}
    };
}

/// Without the feature `layout` a library says nothing of its layout.
#[cfg(not(feature = "layout"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_layout {
    () => {};
}

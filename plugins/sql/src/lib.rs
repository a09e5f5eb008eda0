//! Flink's SQL: `millstream run job.sql`.
//!
//! A script is [parsed](parse), its queries [bound](bind) to tables into DataFusion's logical plans whose types are
//! already Flink's, made cheaper by the rules that are allowed, and lowered to the job graph, whose
//! chains compute with Arrow's kernels over the columns of pages. The host loads this library like that of a
//! compiled job, when it is given a script.

pub mod bind;
mod calc;
mod catalog;
mod error;
mod function;
mod lower;
mod nested;
mod operator;
pub mod parse;
mod plan;
mod relation;
pub mod script;
mod spread;
mod time;
mod types;

use std::path::PathBuf;

use millstream_sdk::prelude::*;

pub use catalog::{Catalog, Entry};
pub use error::SqlError;
pub use types::{Kind, Type};

/// A job that is a script.
#[derive(Debug)]
pub struct SqlJob;

/// The option with the mode of its queries.
const MODE: &str = "mode";
/// The option with the script's text.
pub const SCRIPT: &str = "script";
/// The option with the directories of the host's plugins, a line each.
pub const PLUGINS: &str = "plugins";

impl Job for SqlJob {
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "A script in Flink's SQL";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string(SCRIPT, "The text of the script").required(),
        OptionDoc::string(
            MODE,
            "streaming or batch, where the script does not SET 'execution.runtime-mode' itself",
        )
        .default("streaming"),
        OptionDoc::string(
            PLUGINS,
            "Directories with plugins whose functions it may call, a line each",
        )
        .default(""),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let script = options.string(SCRIPT)?;
        let mode = options.string(MODE)?;
        let plugins: Vec<PathBuf> = options.string(PLUGINS)?.lines().map(PathBuf::from).collect();
        script::build_in(script, mode, &plugins, env)
            .map_err(|error| Error::new(error.explain(script)))
    }
}

millstream_sdk::plugin! {
    name: "sql",
    summary: "Flink's SQL",
    jobs: [SqlJob],
}

millstream_sdk::export!(plugin);

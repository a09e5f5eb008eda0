//! Write connectors, formats, functions and compiled jobs for Millstream.
//!
//! A plugin is a `cdylib` that offers [sources](source::Source), [sinks](sink::Sink),
//! [formats](format::Format), [functions](function) and [jobs](job::Job). It links this crate and
//! the engine's core; the host's engine runs it.
//!
//! ```
//! use millstream_sdk::prelude::*;
//!
//! struct Squares;
//!
//! impl Job for Squares {
//!     const NAME: &'static str = "squares";
//!     const SUMMARY: &'static str = "The first squares";
//!     const OPTIONS: &'static [OptionDoc] =
//!         &[OptionDoc::integer("count", "How many").default("10")];
//!
//!     fn build(env: &Environment, options: &Options) -> Result<(), Error> {
//!         let count = options.integer("count")? as u64;
//!         env.generate(move |subtask, parallelism| {
//!             (0..count).skip(subtask as usize).step_by(parallelism as usize)
//!         })
//!         .map(|number| number * number)
//!         .result();
//!         Ok(())
//!     }
//! }
//!
//! millstream_sdk::plugin! {
//!     name: "squares",
//!     summary: "An example",
//!     jobs: [Squares],
//! }
//! // In a library of its own, `millstream_sdk::export!(plugin);` makes the host find it.
//! ```
//!
//! A panic in a plugin is caught at the border and fails the task; what the plugin says about the
//! failure reaches the user with the plugin's name in front.

mod borrow;
mod error;
pub mod format;
pub mod function;
pub mod generated;
mod host;
pub mod job;
mod memory;
pub mod options;
pub mod plugin;
mod rows;
pub mod sink;
pub mod source;
mod thunk;

pub use error::Error;
#[doc(hidden)]
pub use millstream_abi as abi;
pub use millstream_data as data;
pub use millstream_dataflow as dataflow;
/// Makes a struct with named fields a record: a row, whose columns are the fields.
///
/// The struct has to be `Clone`; which types its fields may have stands at the
/// [trait](trait@Record). A column has its field's name: write `r#type` for a column `type`. For
/// `struct Flight` it generates `FlightView<'_>`, the row as it is read in place, and
/// `Flight::own(view)` makes a struct of it. `#[record(key)]` on the struct implements
/// [`Key`](data::Key), so that records can be grouped by it.
///
/// ```
/// use millstream_sdk::prelude::*;
///
/// #[derive(Clone, Record)]
/// #[record(key)]
/// struct Route {
///     origin: String,
///     r#type: Option<u8>,
/// }
///
/// fn is_long(route: RouteView<'_>) -> bool {
///     route.origin != "JFK" && route.r#type == Some(1)
/// }
/// # let route = Route { origin: "LGA".into(), r#type: Some(1) };
/// # assert!(is_long(route.view()));
/// ```
#[doc(inline)]
pub use millstream_derive::RecordOfSdk as Record;
// The trait of that name; the line above is the derive, which knows its way through this crate.
#[doc(inline)]
pub use millstream_data::value::Record;
#[cfg(feature = "layout")]
#[doc(hidden)]
pub use millstream_layout as layout;

/// What most plugins use.
pub mod prelude {
    pub use crate::{
        Error, Record,
        format::{Decode, Encode, Format, InputInfo, Properties, RecordError, Step, Unsupported},
        function::{Aggregate, Arguments, ScalarFunction, Signature, TableFunction},
        job::Job,
        options::{OptionDoc, Options},
        sink::{PageWriter, Sink},
        source::{Filled, Full, Rows, Source, SplitReader, Subtask},
    };
    pub use millstream_data::{
        Decimal, Key, Value,
        page::{RowKind, ValidPage},
        types::{DataType, Field, Schema},
        value::{Bytes, Date, ListView, MapView, Time, Timestamp, TimestampLtz},
    };
    pub use millstream_dataflow::{
        Connector, Environment, SortKey, Stream,
        operator::{
            AggregateFunction, CoFunction, Emit, EmitSide,
            window::{CoGroupFunction, Group, WindowAggregate},
        },
    };
    pub use millstream_state::{
        time::Bounded,
        window::{Cumulating, Sliding, Tumbling, Window},
    };
}

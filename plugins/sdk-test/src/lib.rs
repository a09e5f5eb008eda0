//! A host in miniature, for the tests of those who write connectors, formats and functions.
//!
//! It goes through the same door as the engine: the plugin's entry, its tables, the checks of the
//! loader. What it reads is validated page by page; what it writes are pages as the engine's.
//!
//! ```
//! use millstream_sdk::prelude::*;
//! use millstream_sdk_test::SourceTest;
//! # struct Ones;
//! # impl Source for Ones {
//! #     const NAME: &'static str = "ones";
//! #     const SUMMARY: &'static str = "Ones";
//! #     const OPTIONS: &'static [OptionDoc] =
//! #         &[OptionDoc::integer("count", "How many").default("3")];
//! #     type Reader = Reader;
//! #     fn open(options: &Options, _: &Schema) -> Result<Self, Error> {
//! #         options.integer("count")?;
//! #         Ok(Ones)
//! #     }
//! #     fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
//! #         Ok(vec![vec![]])
//! #     }
//! #     fn reader(&self, _: Subtask) -> Result<Reader, Error> {
//! #         Ok(Reader)
//! #     }
//! # }
//! # struct Reader;
//! # impl SplitReader for Reader {
//! #     fn begin(&mut self, _: &[u8]) -> Result<(), Error> {
//! #         Ok(())
//! #     }
//! #     fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
//! #         for _ in 0..3 {
//! #             rows.put_fixed(0, 1u64.to_le_bytes());
//! #             rows.commit();
//! #         }
//! #         Ok(Filled::SplitDone)
//! #     }
//! # }
//! # millstream_sdk::plugin! { name: "ones", summary: "Ones", sources: [Ones] }
//!
//! let ones = SourceTest::new::<u64>(plugin, "ones").option("count", "3");
//! assert_eq!(ones.rows::<u64>().unwrap(), [1, 1, 1]);
//! ones.check_contract();
//! ```
//!
//! What goes wrong in the connector is a [`CallError`]; what breaks the contract is a panic that
//! says which part of it.
#![forbid(unsafe_code)]

mod changes;
mod format;
mod function;
mod options;
mod plugins;
mod segment;
mod sink;
mod source;

pub use format::FormatTest;
pub use function::FunctionTest;
pub use millstream_abi::EntryFn;
pub use millstream_loader::CallError;
pub use sink::SinkTest;
pub use source::SourceTest;

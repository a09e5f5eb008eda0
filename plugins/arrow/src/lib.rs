//! Pages as Arrow arrays, and arrays as rows of pages.
//!
//! The columns of a page have Arrow's layout, so its arrays [borrow](with_arrays) the page's bytes; what
//! is computed with them is written into another page [column by column](ArrayRun).

mod leaves;
mod lend;
mod run;

pub use leaves::{Leaf, Unsupported, arrow_type};
pub use lend::with_arrays;
pub use run::{ArrayRun, Places};

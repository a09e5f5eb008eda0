//! Rows that outlive the program that wrote them: schemas as bytes, and what becomes of old rows.
//!
//! State, savepoints and files are written with one schema and read with another. Beside the rows
//! stands a [`Snapshot`] of the schema that they were written with; [`compatibility`] compares it
//! with that of the program at hand and gives one of three answers: the rows can be read as they
//! are, after a migration whose [`Plan`] it gives, or not at all, with the reason and both schemas
//! side by side.
//!
//! Fields are matched by name, as in Flink's POJO and Avro serializers:
//!
//! | change | |
//! |---|---|
//! | fields in another order | migration |
//! | a field removed | migration, its values are dropped |
//! | a field added that may be NULL | migration, it is NULL |
//! | a field added that is NOT NULL | migration if it has a [default](Defaults), else incompatible |
//! | NOT NULL to nullable | migration |
//! | nullable to NOT NULL | incompatible |
//! | a type to one that holds all its values exactly | migration |
//! | any other change of type | incompatible |
//! | any change of a key | incompatible: keys decide where state is |
//!
//! Types that hold all values of another: wider integers (unsigned ones in wider signed ones,
//! too), `FLOAT` in `DOUBLE`, integers in floating-point numbers whose mantissa has room for them
//! (`INT` in `DOUBLE`, but not `BIGINT`), integers and decimals in decimals with as many digits on
//! both sides of the point, timestamps in those of higher precision, `STRING` in `BYTES`. The
//! fields of nested rows, the elements of arrays, and the keys and values of maps follow the same
//! rules. A field that was renamed is one removed and another one added: nothing tells them apart.

mod cast;
mod compatibility;
mod default;
mod plan;
mod report;
mod rewriting;
mod snapshot;

pub use compatibility::{Compatibility, compatibility, compatibility_with};
pub use default::{Defaults, Literal};
pub use plan::{Migration, Plan};
pub use report::{Incompatible, Reason};
pub use rewriting::{RewriteError, RowRewriting};
pub use snapshot::{Role, Snapshot, SnapshotError};

#[cfg(test)]
mod tests;

//! What can go wrong with managed memory, and who holds it.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

/// What one owner holds of the managed memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Name of the owner.
    pub owner: String,
    /// Pages held.
    pub pages: u32,
    /// Bytes reserved without pages.
    pub reserved: u64,
}

/// Why managed memory cannot be had or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedError {
    /// The budget lacks the bytes.
    NotEnough {
        /// Who asked.
        owner: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that nobody holds.
        free: u64,
        /// Bytes in all.
        total: u64,
        /// Bytes in a page.
        page_size: usize,
        /// Who holds the others.
        holders: Vec<Holding>,
    },
    /// An owner that was never opened here, or is forgotten.
    UnknownOwner {
        /// Its number.
        id: u64,
    },
    /// More was given back than was reserved.
    NotReserved {
        /// Who gave back.
        owner: String,
        /// Bytes given back.
        released: u64,
        /// Bytes reserved.
        reserved: u64,
    },
    /// Pages were given back in the name of somebody who did not have them.
    ForeignPage {
        /// In whose name.
        owner: String,
        /// How many pages were not its own.
        foreign: usize,
    },
    /// The memory was shut down.
    ShutDown,
}

/// How many holders an error names; the others are counted.
const HOLDERS_NAMED_MAX: usize = 4;

impl fmt::Display for ManagedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnough { owner, wanted, free, total, page_size, holders } => {
                write!(
                    f,
                    "`{owner}` asked for {wanted} bytes of managed memory, but only {free} of \
                     {total} bytes are free"
                )?;
                let mut holders: Vec<_> = holders.iter().collect();
                let held = |holding: &Holding| {
                    u64::from(holding.pages) * *page_size as u64 + holding.reserved
                };
                holders.sort_by_key(|holding| core::cmp::Reverse(held(holding)));
                for (number, holding) in holders.iter().take(HOLDERS_NAMED_MAX).enumerate() {
                    let lead = if number == 0 { " (held by" } else { "," };
                    write!(f, "{lead} `{}`: {} bytes", holding.owner, held(holding))?;
                }
                if holders.len() > HOLDERS_NAMED_MAX {
                    write!(f, " and {} more", holders.len() - HOLDERS_NAMED_MAX)?;
                }
                let close = if holders.is_empty() { "" } else { ")" };
                write!(
                    f,
                    "{close}; raise `memory.managed.size` or `memory.managed.fraction`, or lower \
                     the parallelism"
                )
            }
            Self::UnknownOwner { id } => write!(
                f,
                "nobody is known as owner {id} of managed memory; open the owner first, and use it \
                 no more after releasing all"
            ),
            Self::NotReserved { owner, released, reserved } => write!(
                f,
                "`{owner}` gave back {released} bytes of managed memory but has reserved only \
                 {reserved}; give back each reservation once"
            ),
            Self::ForeignPage { owner, foreign } => write!(
                f,
                "{foreign} pages were given back in the name of `{owner}` that it did not own; \
                 give pages back in the name that they were allocated for"
            ),
            Self::ShutDown => f.write_str(
                "managed memory is shut down; allocate before the end of the worker process",
            ),
        }
    }
}

impl Error for ManagedError {}

/// What was still held when it should not have been, by owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakReport {
    /// Bytes in a page.
    pub page_size: usize,
    /// Who holds what; not empty.
    pub leaks: Vec<Holding>,
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managed memory was not given back")?;
        for (number, leak) in self.leaks.iter().enumerate() {
            let lead = if number == 0 { ':' } else { ',' };
            write!(
                f,
                "{lead} `{}` holds {} pages of {} bytes and {} reserved bytes",
                leak.owner, leak.pages, self.page_size, leak.reserved
            )?;
        }
        f.write_str("; each must drop its pages and end its reservations when it closes")
    }
}

impl Error for LeakReport {}

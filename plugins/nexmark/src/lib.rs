//! The `nexmark` connector: the events of an online auction.
//!
//! An own implementation of the publicly described Nexmark model: of every 50 events one is a
//! person, 3 are auctions and 46 are bids, with hot auctions, bidders, sellers and channels. Each
//! event follows from the seed and its number, so the events are the same for every number of
//! readers; in the order of their numbers their times only grow.
//!
//! Columns, of which a job may ask for any:
//!
//! ```text
//! event_type INT                 0 person, 1 auction, 2 bid
//! date_time  TIMESTAMP           when it happened, whatever it is
//! person  ROW<id BIGINT, name STRING, email_address STRING, credit_card STRING, city STRING,
//!             state STRING, date_time TIMESTAMP, extra STRING>              NULL for the others
//! auction ROW<id BIGINT, item_name STRING, description STRING, initial_bid BIGINT,
//!             reserve BIGINT, date_time TIMESTAMP, expires TIMESTAMP, seller BIGINT,
//!             category BIGINT, extra STRING>
//! bid     ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
//!             date_time TIMESTAMP, extra STRING>
//! ```
#![forbid(unsafe_code)]

mod model;
mod plan;
mod source;
mod text;

pub use model::{Config, Event, Generator};
pub use source::NexmarkSource;
pub use text::Channel;

millstream_sdk::plugin! {
    name: "nexmark",
    summary: "Makes the events of an online auction",
    sources: [NexmarkSource],
}

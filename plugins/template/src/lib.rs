//! A Millstream plugin to begin with: a source and a sink.
#![forbid(unsafe_code)]

mod append;
mod countdown;

pub use append::Append;
pub use countdown::Countdown;

millstream_sdk::plugin! {
    name: "template",
    summary: "A source and a sink to begin with",
    sources: [Countdown],
    sinks: [Append],
}
millstream_sdk::export!(plugin);

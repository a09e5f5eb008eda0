//! A Millstream plugin to begin with: a source, a sink, a format and a function.
#![forbid(unsafe_code)]

mod append;
mod clamp;
mod countdown;
mod labelled;

pub use append::Append;
pub use clamp::Clamp;
pub use countdown::Countdown;
pub use labelled::Labelled;

millstream_sdk::plugin! {
    name: "template",
    summary: "A source, a sink, a format and a function to begin with",
    sources: [Countdown],
    sinks: [Append],
    formats: [Labelled],
    scalars: [Clamp],
}
millstream_sdk::export!(plugin);

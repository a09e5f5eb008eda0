//! Decoding JSON lines into pages, beside parsers that fill structs.
//!
//! `json [ROUNDS]` decodes Nexmark's events, the 10,000 of the tests as often as makes some 90 MB, on one thread:
//! all cells, and those that a query of bids asks for. The peers parse the same lines into structs that borrow
//! their text, and drop them; what they skip of a line is what they do not name. Prints MB/s, medians of the
//! rounds, and the ratio to the faster peer.

use std::{borrow::Cow, io::Read, sync::Arc};

use millstream_benches::{measure, median};
use millstream_data::{
    page::{Layout, RowBuilder, Shape},
    types::{DataType, Field, Schema},
};
use millstream_format::{Columns, Step, json};
use serde::Deserialize;

const TIMES: usize = 30;
const PAGE_BYTES: usize = 32 << 10;
/// Bytes of text of an event, about.
const TEXT_BYTES: usize = 200;

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Event<'a> {
    event_type: i32,
    #[serde(borrow)]
    person: Option<Person<'a>>,
    #[serde(borrow)]
    auction: Option<Auction<'a>>,
    #[serde(borrow)]
    bid: Option<Bid<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Person<'a> {
    id: i64,
    name: Cow<'a, str>,
    email_address: Cow<'a, str>,
    credit_card: Cow<'a, str>,
    city: Cow<'a, str>,
    state: Cow<'a, str>,
    date_time: Cow<'a, str>,
    extra: Cow<'a, str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Auction<'a> {
    id: i64,
    item_name: Cow<'a, str>,
    description: Cow<'a, str>,
    initial_bid: i64,
    reserve: i64,
    date_time: Cow<'a, str>,
    expires: Cow<'a, str>,
    seller: i64,
    category: i64,
    extra: Cow<'a, str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Bid<'a> {
    auction: i64,
    bidder: i64,
    price: i64,
    channel: Cow<'a, str>,
    url: Cow<'a, str>,
    date_time: Cow<'a, str>,
    extra: Cow<'a, str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Price {
    event_type: i32,
    bid: Option<Few>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "what is parsed is dropped")]
struct Few {
    auction: i64,
    price: i64,
}

/// A nullable row of numbers, texts and times, as `name:n`, `name:s` and `name:t`.
fn row(name: &str, fields: &str) -> Field {
    let fields = fields.split(' ').map(|field| {
        let (name, kind) = field.split_once(':').expect("a name and a kind");
        let data_type = match kind {
            "n" => DataType::Int64,
            "t" => DataType::Timestamp { precision: 3 },
            _ => DataType::String,
        };
        Field::new(name, data_type).nullable()
    });
    Field::new(name, DataType::Row(fields.collect())).nullable()
}

fn all() -> Schema {
    Schema::new(vec![
        Field::new("event_type", DataType::Int32),
        row(
            "person",
            "id:n name:s email_address:s credit_card:s city:s state:s date_time:t extra:s",
        ),
        row(
            "auction",
            "id:n item_name:s description:s initial_bid:n reserve:n date_time:t expires:t seller:n category:n \
             extra:s",
        ),
        row("bid", "auction:n bidder:n price:n channel:s url:s date_time:t extra:s"),
    ])
}

fn few() -> Schema {
    Schema::new(vec![Field::new("event_type", DataType::Int32), row("bid", "auction:n price:n")])
}

/// Decodes all lines into pages; gives how many rows there were.
fn decode(text: &[u8], schema: &Schema) -> usize {
    let mut decoder = json::Decoder::new(&Columns::new(schema).expect("JSON holds the columns"));
    let shape = Arc::new(Shape::new(schema));
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, TEXT_BYTES).expect("a page"));
    let mut words = vec![0u128; PAGE_BYTES / 16];
    let (mut start, mut rows) = (0, 0);
    while start < text.len() {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut page = RowBuilder::new(bytes, &shape, &layout);
        while page.has_room() && start < text.len() {
            match decoder.record(text, start, true, &mut page).expect("events") {
                Step::Row(end) | Step::Blank(end) => start = end,
                Step::Full | Step::Incomplete => break,
            }
        }
        rows += page.rows();
        page.seal(false);
    }
    rows
}

/// Parses each line with a peer; gives how many there were.
fn parse<'a, T>(text: &'a [u8], line: impl Fn(&'a [u8]) -> T) -> usize {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|text| drop(std::hint::black_box(line(text)))).count()
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(5, |text| text.parse().expect("a number"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/cli/tests/nexmark/events.jsonl.gz");
    let mut events = Vec::new();
    let file = std::fs::File::open(file).expect("the events of the tests");
    flate2::read::GzDecoder::new(file).read_to_end(&mut events).expect("gzip");
    let text = events.repeat(TIMES);
    println!("{} MB of JSON lines, one thread, {rounds} rounds: MB/s", text.len() / 1_000_000);
    let speed = |work: &dyn Fn() -> usize| {
        median((0..rounds).map(|_| {
            let (rows, cost) = measure(work);
            assert_eq!(rows, 10_000 * TIMES);
            text.len() as f64 / 1e6 / cost.cpu
        }))
    };
    for (what, schema, serde, sonic) in [
        (
            "all cells",
            all(),
            &(|| parse(&text, |line| serde_json::from_slice::<Event<'_>>(line).expect("an event")))
                as &dyn Fn() -> usize,
            &(|| parse(&text, |line| sonic_rs::from_slice::<Event<'_>>(line).expect("an event")))
                as &dyn Fn() -> usize,
        ),
        (
            "three of 26",
            few(),
            &(|| parse(&text, |line| serde_json::from_slice::<Price>(line).expect("an event"))),
            &(|| parse(&text, |line| sonic_rs::from_slice::<Price>(line).expect("an event"))),
        ),
    ] {
        let ours = speed(&|| decode(&text, &schema));
        let (serde, sonic) = (speed(serde), speed(sonic));
        println!(
            "{what}: into pages {ours:.0}, serde_json {serde:.0}, sonic-rs {sonic:.0}; ratio {:.2}",
            ours / serde.max(sonic)
        );
    }
}

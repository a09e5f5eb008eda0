//! CSV to a keyed result: the flights, repeated until the file is large, folded by carrier and
//! origin.
//!
//! The opponent is a hand-written loop over the `csv` crate with the same aggregation, on as many
//! threads as the engine has subtasks, each with its part of the file. `csv_to_result [MB] [ROUNDS]`.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    thread,
};

use millstream::{Runtime, builder, loader::Registry, result::Collected};
use millstream_benches::{Cost, measure, median};
use millstream_data::Record;
use millstream_dataflow::{Connector, Environment, operator::AggregateFunction};

#[derive(Clone, Record)]
struct Flight {
    carrier: String,
    origin: String,
    departure_delay_minutes: Option<i32>,
}

#[derive(Clone, Copy, Default, Record)]
struct Delays {
    flights: i64,
    flown: i64,
    sum: i64,
    max: i32,
}

impl Delays {
    fn add(&mut self, delay: Option<i32>) {
        self.flights += 1;
        if let Some(delay) = delay {
            self.flown += 1;
            self.sum += i64::from(delay);
            self.max = self.max.max(delay);
        }
    }
}

#[derive(Clone)]
struct ByRoute;

impl AggregateFunction for ByRoute {
    type In = Flight;
    type Key = (String, String);
    type Accumulator = Delays;
    type Out = (String, String, i64, i64);

    fn create(&self) -> Delays {
        Delays::default()
    }

    fn add(&self, delays: &mut Delays, flight: FlightView<'_>) {
        delays.add(flight.departure_delay_minutes);
    }

    fn finish(&self, key: (&str, &str), delays: &Delays) -> Self::Out {
        (key.0.into(), key.1.into(), delays.flights, delays.sum)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let bytes = arguments.next().unwrap_or(2000) * 1_000_000;
    let rounds = arguments.next().unwrap_or(3);
    let path = std::env::temp_dir().join(format!("millstream-flights-{}.csv", std::process::id()));
    repeat(&path, bytes);
    for threads in [1, 2] {
        let (mut hand, mut engine) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (expected, cost) = measure(|| hand_loop(&path, threads));
            hand.push(cost);
            let (found, cost) = measure(|| millstream(&path, threads));
            engine.push(cost);
            assert_eq!(found, expected, "the opponents agree");
        }
        let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu));
        let wall = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall));
        let rate = |costs: &[Cost]| bytes as f64 / 1e6 / wall(costs);
        println!(
            "{threads} threads: csv crate {:.0} MB/s, {:.2} CPU-s; millstream {:.0} MB/s, {:.2} CPU-s; \
             ratio {:.2} by wall time, {:.2} by processor time",
            rate(&hand),
            cpu(&hand),
            rate(&engine),
            cpu(&engine),
            rate(&engine) / rate(&hand),
            cpu(&hand) / cpu(&engine),
        );
    }
    std::fs::remove_file(&path).expect("the file is there");
}

/// The flights, over and over, below one header.
fn repeat(path: &Path, bytes: u64) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/flights.csv.gz");
    let mut text = Vec::new();
    let file = File::open(data).expect("the data");
    flate2::read::GzDecoder::new(file).read_to_end(&mut text).expect("gzip");
    let body = text.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
    let mut out = std::io::BufWriter::new(File::create(path).expect("a temporary file"));
    out.write_all(&text[..body]).expect("room");
    let mut written = body as u64;
    while written < bytes {
        out.write_all(&text[body..]).expect("room");
        written += (text.len() - body) as u64;
    }
}

/// Flights and delays, by carrier and origin, in order.
type Rows = Vec<(String, String, i64, i64)>;

fn hand_loop(path: &Path, threads: u64) -> Rows {
    let length = std::fs::metadata(path).expect("the file").len();
    let part = |index: u64| {
        let bound = |index| length * index / threads;
        part_of(path, bound(index), bound(index + 1))
    };
    let mut all: HashMap<(String, String), Delays> = HashMap::new();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|index| scope.spawn(move || part(index))).collect();
        for part in parts {
            for (key, delays) in part.join().expect("the thread does not panic") {
                let total = all.entry(key).or_default();
                total.flights += delays.flights;
                total.sum += delays.sum;
            }
        }
    });
    let row = |((carrier, origin), delays): ((String, String), Delays)| {
        (carrier, origin, delays.flights, delays.sum)
    };
    let mut rows: Rows = all.into_iter().map(row).collect();
    rows.sort();
    rows
}

/// The records that begin between `start` and `end`.
fn part_of(path: &Path, start: u64, end: u64) -> HashMap<(String, String), Delays> {
    let mut file = File::open(path).expect("the file");
    let mut skip = 0;
    if start > 0 {
        file.seek(SeekFrom::Start(start - 1)).expect("a place");
        let mut ahead = [0; 4096];
        let read = file.read(&mut ahead).expect("bytes");
        skip = ahead[..read].iter().position(|byte| *byte == b'\n').expect("a line end") as u64;
        file.seek(SeekFrom::Start(start + skip)).expect("a place");
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(start == 0)
        .buffer_capacity(256 << 10)
        .from_reader(file);
    let mut routes: HashMap<(Vec<u8>, Vec<u8>), Delays> = HashMap::new();
    let mut record = csv::ByteRecord::new();
    let mut key = (Vec::new(), Vec::new());
    while start + skip + reader.position().byte() < end
        && reader.read_byte_record(&mut record).expect("a record")
    {
        key.0.clear();
        key.0.extend(&record[1]);
        key.1.clear();
        key.1.extend(&record[4]);
        let delay = std::str::from_utf8(&record[6]).expect("text").parse().ok();
        match routes.get_mut(&key) {
            Some(delays) => delays.add(delay),
            None => routes.entry(key.clone()).or_default().add(delay),
        }
    }
    let text = |bytes| String::from_utf8(bytes).expect("text");
    routes.into_iter().map(|((a, b), delays)| ((text(a), text(b)), delays)).collect()
}

fn millstream(path: &Path, threads: u64) -> Rows {
    let env = Environment::new("flights");
    let connector = Connector::new("filesystem").option("path", path.to_str().expect("UTF-8"));
    env.source::<Flight>("flights", connector)
        .key_by::<(String, String), _>(|flight| (flight.carrier, flight.origin))
        .aggregate_at_end(ByRoute)
        .result();
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("bundled plugins");
    let runtime = Runtime::builder()
        .plugins(registry)
        .workers(threads as usize)
        .parallelism(threads as u32)
        .build()
        .expect("memory");
    let rows = Collected::new();
    runtime.run(env.build(), rows.sink()).expect("the job runs");
    let mut rows: Rows = rows.take();
    rows.sort();
    rows
}

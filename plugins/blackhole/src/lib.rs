//! The `blackhole` connector: a sink that drops rows and counts them, for measurements.
#![forbid(unsafe_code)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use millstream_sdk::prelude::*;

/// Drops rows.
#[derive(Debug)]
pub struct Blackhole {
    summary: bool,
    rows: Arc<AtomicU64>,
}

impl Sink for Blackhole {
    const NAME: &'static str = "blackhole";
    const SUMMARY: &'static str = "Drops rows and counts them";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::boolean(
        "summary",
        "Whether to say on standard error how many rows were dropped, when the sink is closed",
    )
    .default("false")];
    const ROW_KINDS: bool = true;
    type Writer = BlackholeWriter;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self { summary: options.boolean("summary")?, rows: Arc::default() })
    }

    fn writer(&self, _subtask: Subtask) -> Result<BlackholeWriter, Error> {
        Ok(BlackholeWriter(Arc::clone(&self.rows)))
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        if self.summary {
            eprintln!("blackhole: {} rows dropped", self.rows.load(Ordering::Relaxed));
        }
    }
}

/// Drops the rows of one subtask.
#[derive(Debug)]
pub struct BlackholeWriter(Arc<AtomicU64>);

impl PageWriter for BlackholeWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        self.0.fetch_add(page.rows() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Nothing is held back: there is nothing to show.
    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

millstream_sdk::plugin! {
    name: "blackhole",
    summary: "Drops rows and counts them",
    sinks: [Blackhole],
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_data::page::{Layout, RowBuilder, RowKind, Shape};
    use millstream_sdk_test::SinkTest;

    #[test]
    fn rows_are_counted() {
        let schema = <u64 as millstream_data::Record>::schema();
        let sink = Blackhole::open(&Options::new(Blackhole::OPTIONS, Vec::new()), &schema).unwrap();
        let shape = Arc::new(Shape::new(&schema));
        let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
        let mut rows = RowBuilder::new(vec![0; 4096], &shape, &layout);
        for number in 0..5u64 {
            rows.put_fixed(0, number.to_le_bytes());
            rows.commit();
        }
        let sealed = rows.seal(false);
        let page = ValidPage::trusted(&sealed.buffer).unwrap();
        for index in 0..2 {
            let subtask = Subtask { index, parallelism: 2, segment_size: 4096 };
            sink.writer(subtask).unwrap().write(&page).unwrap();
        }
        assert_eq!(sink.rows.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn changes_are_taken() {
        let sink = SinkTest::new::<u64>(plugin, "blackhole").with_row_kinds();
        sink.write_changes(&[(RowKind::Insert, 1u64), (RowKind::Delete, 1)]).unwrap();
    }

    #[test]
    fn the_contract() {
        SinkTest::new::<u64>(plugin, "blackhole").check_contract::<u64>();
    }
}

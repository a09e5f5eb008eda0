//! The pages that queries read.

use millstream::{
    builder,
    data::{
        page::ValidPage,
        types::{DataType, Field, Schema},
    },
    loader::{Reader, ReaderPage, Registry},
};

/// Bytes of a page, as in the engine.
const PAGE_BYTES: usize = 32 << 10;

/// The pages of a run of the model.
pub(crate) struct Pages {
    reader: Reader,
    splits: Vec<Vec<u8>>,
    segment: Vec<u128>,
}

/// The pages with these columns: `event_type`, and fields of events, as in `bid: auction price`.
pub(crate) fn of(columns: &str, events: u64) -> Pages {
    let mut fields = vec![Field::new("event_type", DataType::Int32)];
    for row in columns.split(", ") {
        let (name, cells) = row.split_once(": ").expect("a name and fields");
        let cells = cells.split(' ').map(|cell| {
            let data_type = match cell {
                "date_time" => DataType::Timestamp { precision: 3 },
                "name" | "channel" | "url" | "extra" => DataType::String,
                _ => DataType::Int64,
            };
            Field::new(cell, data_type)
        });
        fields.push(Field::new(name, DataType::Row(cells.collect())).nullable());
    }
    let schema = Schema::new(fields);
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("the plugins that come with it");
    let options = [("events".to_owned(), events.to_string())];
    let source = registry.source("nexmark", &options, &schema).expect("the source");
    let reader = source.reader(0, 1, PAGE_BYTES).expect("a reader");
    let splits = source.splits().expect("its splits");
    Pages { reader, splits, segment: vec![0; PAGE_BYTES / size_of::<u128>()] }
}

impl Pages {
    /// Does something with each page.
    pub(crate) fn each(mut self, mut page: impl FnMut(&ValidPage<'_>)) {
        let segment: &mut [u8] = bytemuck::cast_slice_mut(&mut self.segment);
        for split in &self.splits {
            self.reader.begin(split).expect("a split");
            loop {
                match self.reader.fill(segment).expect("a page") {
                    ReaderPage::Page { length, .. } => {
                        page(&ValidPage::trusted(&segment[..length]).expect("a page"));
                    }
                    ReaderPage::SplitDone => break,
                    ReaderPage::Nothing => {}
                    ReaderPage::TooSmall { .. } => panic!("an event fits a page"),
                }
            }
        }
    }
}

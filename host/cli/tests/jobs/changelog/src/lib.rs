//! A job whose rows have kinds: the words of an option, counted one after the other, as a query with
//! GROUP BY does it. A word with a `-` in front is taken away.

use std::{collections::BTreeMap, sync::Arc};

use millstream_sdk::{
    data::page::{RowBuilder, Shape, Sizing},
    dataflow::{
        TaskError,
        chain::{Chain, Context, PageInfo, Produced, Signal},
    },
    prelude::*,
};

/// Counts words.
struct Counts {
    words: Vec<String>,
    next: usize,
    counts: BTreeMap<String, i64>,
    shape: Arc<Shape>,
}

impl Counts {
    fn new(words: &str) -> Self {
        let shape = Arc::new(Shape::new(&schema()));
        let words = words.split_whitespace().map(str::to_owned).collect();
        Self { words, next: 0, counts: BTreeMap::new(), shape }
    }

    /// What a word changes.
    fn count(&mut self, word: &str) -> Vec<(RowKind, i64)> {
        let (word, step) = match word.strip_prefix('-') {
            Some(word) => (word, -1),
            None => (word, 1),
        };
        let before = self.counts.get(word).copied().unwrap_or_default();
        let after = before + step;
        self.counts.insert(word.to_owned(), after);
        match (before, after) {
            (0, after) if after > 0 => vec![(RowKind::Insert, after)],
            (before, after) if after > 0 => {
                vec![(RowKind::UpdateBefore, before), (RowKind::UpdateAfter, after)]
            }
            // Of a word that never came, too: that is a mistake, which the result finds.
            (before, _) => vec![(RowKind::Delete, before)],
        }
    }

    /// Adds the changes of a word in a page of their own.
    fn write(&mut self, word: &str, context: &mut Context<'_>) -> Result<(), TaskError> {
        let changes = self.count(word);
        let Some(lease) = context.lease(0, 0) else { return Ok(()) };
        let sizing = Sizing::new(Arc::clone(&self.shape), lease.segment.len());
        let sizing = sizing.ok_or_else(|| TaskError::new("the segment is too small"))?;
        let mut page = RowBuilder::new(lease.segment, &self.shape, sizing.layout());
        for (kind, count) in changes {
            let put = page.put_str(0, word.trim_start_matches('-'));
            put.map_err(|_| TaskError::new("the word is too long"))?;
            page.put_fixed(1, count.to_le_bytes());
            page.put_kind(kind);
            page.commit();
        }
        let sealed = page.seal(true);
        let info = PageInfo { length: sealed.length as u32, rows: sealed.rows as u32 };
        context.submit(0, 0, sealed.buffer, info);
        Ok(())
    }
}

impl Chain for Counts {
    fn process(&mut self, _: u16, page: &ValidPage<'_>, _: usize, _: &mut Context<'_>) -> usize {
        page.rows()
    }

    fn produce(&mut self, _rows: usize, context: &mut Context<'_>) -> Produced {
        while !context.is_blocked() {
            let Some(word) = self.words.get(self.next).cloned() else { return Produced::Finished };
            self.next += 1;
            if let Err(error) = self.write(&word, context) {
                context.fail(error);
            }
        }
        Produced::More
    }

    fn finish(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn signal(&mut self, _: Signal, _: &mut Context<'_>) -> bool {
        true
    }

    fn flush(&mut self, _: bool, _: &mut Context<'_>) {}
}

fn schema() -> Schema {
    let word = Field::new("word", DataType::String);
    Schema::new(vec![word, Field::new("count", DataType::Int64)]).with_row_kinds()
}

struct Changelog;

impl Job for Changelog {
    const NAME: &'static str = "changelog";
    const SUMMARY: &'static str = "Words, counted";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("words", "The words, with blanks between").required(),
        OptionDoc::string("sink", "The connector that takes the rows, if they are not the result"),
        OptionDoc::string("out", "The directory of the connector `filesystem`"),
        OptionDoc::string("out-format", "And its format"),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let words = options.string("words")?.to_owned();
        let make = move |_: &_, _| -> Result<Box<dyn Chain>, TaskError> {
            Ok(Box::new(Counts::new(&words)))
        };
        let rows = env.produce_rows("count", schema(), make);
        let Some(sink) = options.value("sink") else {
            rows.result();
            return Ok(());
        };
        let mut connector = Connector::new(sink);
        if let Some(path) = options.value("out") {
            connector = connector.option("path", path);
            connector = connector.option("format", options.string("out-format")?);
        }
        rows.sink("words", connector);
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "changelog",
    summary: "Rows with kinds",
    jobs: [Changelog],
}
millstream_sdk::export!(plugin);

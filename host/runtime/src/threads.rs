//! Sources and sinks of plugins, on threads of their own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_dataflow::TaskError;
use millstream_executor::blocking::{BlockingSink, BlockingSource, Read};
use millstream_loader::{Reader, ReaderPage, Writer};
use millstream_memory::{Buffer, Segment};

/// The splits of a source that nobody has read yet: whoever is free takes the next.
#[derive(Clone, Debug)]
pub(crate) struct Splits(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Splits {
    pub(crate) fn new(splits: Vec<Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(splits.into())))
    }

    fn next(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A source of a plugin, for one subtask.
pub(crate) struct PluginSource {
    pub(crate) reader: Reader,
    pub(crate) splits: Splits,
    /// A split is being read.
    pub(crate) reading: bool,
}

impl BlockingSource for PluginSource {
    fn read(&mut self, segment: Segment) -> Result<Read, TaskError> {
        let mut segment = segment;
        loop {
            if !self.reading {
                let Some(split) = self.splits.next() else { return Ok(Read::End) };
                self.reader.begin(&split)?;
                self.reading = true;
            }
            match self.reader.fill(&mut segment)? {
                ReaderPage::Page { length, rows } => {
                    return Ok(Read::Page { segment, length, rows });
                }
                ReaderPage::Nothing => return Ok(Read::Nothing),
                ReaderPage::SplitDone => self.reading = false,
            }
        }
    }
}

/// A sink of a plugin, for one subtask.
pub(crate) struct PluginSink(pub(crate) Writer);

impl BlockingSink for PluginSink {
    fn write(&mut self, page: &Buffer) -> Result<(), TaskError> {
        Ok(self.0.write(page)?)
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(self.0.finish()?)
    }
}

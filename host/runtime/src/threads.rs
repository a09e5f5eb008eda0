//! Sources and sinks of plugins, on threads of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use millstream_dataflow::TaskError;
use millstream_executor::blocking::{BlockingSink, BlockingSource, Read};
use millstream_loader::{Reader, ReaderPage, Writer};
use millstream_memory::{Buffer, Segment};

/// Hands out the splits of sources, each once: whoever is free takes the next.
pub(crate) trait SplitService: Send + Sync {
    /// The next split of a source that nobody has taken; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn next(&self, node: u32) -> Result<Option<Vec<u8>>, TaskError>;
}

/// The splits of the sources of a job, in the process that enumerated them.
#[derive(Debug, Default)]
pub(crate) struct Splits(Mutex<BTreeMap<u32, VecDeque<Vec<u8>>>>);

impl Splits {
    /// Adds the splits of a source.
    pub(crate) fn add(&self, node: u32, splits: Vec<Vec<u8>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, splits.into());
    }

    /// The next split of a source.
    pub(crate) fn take(&self, node: u32) -> Option<Vec<u8>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(&node)?.pop_front()
    }
}

impl SplitService for Splits {
    fn next(&self, node: u32) -> Result<Option<Vec<u8>>, TaskError> {
        Ok(self.take(node))
    }
}

/// A source of a plugin, for one subtask.
pub(crate) struct PluginSource {
    pub(crate) reader: Reader,
    /// The source's node, by which its splits are asked for.
    pub(crate) node: u32,
    pub(crate) splits: Arc<dyn SplitService>,
    /// A split is being read.
    pub(crate) reading: bool,
}

impl BlockingSource for PluginSource {
    fn read(&mut self, segment: Segment) -> Result<Read, TaskError> {
        let mut segment = segment;
        loop {
            if !self.reading {
                let Some(split) = self.splits.next(self.node)? else { return Ok(Read::End) };
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

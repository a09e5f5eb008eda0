//! The ends of a job: sources, sinks and its result, each on a thread of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::{
    TaskError,
    channel::{Receiver, Sender},
    graph::{ConnectorSpec, execution::Subtask},
    task::{Checkpoints, TaskMetrics, in_flight::Origin},
};
use millstream_executor::blocking::{BlockingSink, BlockingSource, Doorbell};
use millstream_loader::{OpenSink, OpenSource};
use millstream_memory::{Buffer, LocalPool};

use super::{Deployer, End};
use crate::{
    RunError,
    checkpoint::{decode_splits, operator_id},
    exchange::SOURCE_SEGMENTS,
    progress::Kind,
    result::{ResultSink, SharedResult},
    threads::{PluginSink, PluginSource, SplitService},
};

/// A source that is ready to start.
pub(super) struct SourceThread {
    pub(super) name: String,
    pub(super) source: Box<dyn BlockingSource>,
    pub(super) pool: LocalPool,
    pub(super) channel: Sender,
    pub(super) metrics: Arc<TaskMetrics>,
    pub(super) checkpoints: Option<Box<dyn Checkpoints>>,
}

/// A sink that is ready to start.
pub(super) struct SinkThread {
    pub(super) name: String,
    pub(super) sink: Box<dyn BlockingSink>,
    pub(super) channels: Vec<(Receiver, Option<Origin>)>,
    pub(super) doorbell: Doorbell,
    pub(super) metrics: Arc<TaskMetrics>,
    pub(super) checkpoints: Option<Box<dyn Checkpoints>>,
}

impl Deployer<'_> {
    pub(super) fn sources(
        &mut self,
        node: u32,
        spec: &ConnectorSpec,
    ) -> Result<Vec<SourceThread>, RunError> {
        let name = &self.graph.nodes[node as usize].name;
        let source: OpenSource =
            self.runtime.registry.source(&spec.connector, &spec.options, &spec.schema)?;
        let splits = match &self.part.splits {
            Some(elsewhere) => Arc::clone(elsewhere),
            None => {
                let id = operator_id(self.graph, node);
                let splits = match self.restore().filter(|restore| restore.knows(&id)) {
                    Some(restore) => {
                        let splits = restore.splits(&id);
                        splits.map_err(RunError::Task)?
                    }
                    None => source.splits()?,
                };
                self.part.enumerated.add(node, splits);
                Arc::clone(&self.part.enumerated) as Arc<dyn SplitService>
            }
        };
        let parallelism = self.graph.parallelism(node, self.runtime.parallelism);
        let mut threads = Vec::new();
        for subtask in self.subtasks(node) {
            let segment_size = self.runtime.network.segment_size();
            let reader = source.reader(subtask.index, parallelism, segment_size)?;
            let channel = self.outputs.remove(&subtask).into_iter().flatten();
            let Some(channel) = channel.flat_map(|(_, output)| output.senders).next() else {
                return Err(RunError::Task(TaskError::new(format!("nobody reads source {name}"))));
            };
            let splits = Arc::clone(&splits);
            let record_bytes_max = self.runtime.exchange.record_bytes_max;
            let source = Box::new(PluginSource::new(reader, node, splits, record_bytes_max));
            let (name, metrics) = (self.name(subtask), Arc::default());
            self.count(subtask, &name, Kind::Source, &metrics);
            let most = SOURCE_SEGMENTS + self.runtime.exchange.floating_segments;
            let pool = self.runtime.network.create_local(SOURCE_SEGMENTS, most)?;
            let checkpoints = self.checkpoints(subtask);
            threads.push(SourceThread { name, source, pool, channel, metrics, checkpoints });
        }
        Ok(threads)
    }

    pub(super) fn sinks(
        &mut self,
        node: u32,
        spec: &ConnectorSpec,
    ) -> Result<Vec<SinkThread>, RunError> {
        let sink: OpenSink =
            self.runtime.registry.sink(&spec.connector, &spec.options, &spec.schema)?;
        let parallelism = self.graph.parallelism(node, self.runtime.parallelism);
        let name = self.graph.nodes[node as usize].name.clone();
        self.show_restored(node, &sink).map_err(|error| RunError::Task(error.at(&name)))?;
        let (mut threads, mut prepared) = (Vec::new(), Vec::new());
        for subtask in self.subtasks(node) {
            let segment_size = self.runtime.network.segment_size();
            let writer = sink.writer(subtask.index, parallelism, segment_size)?;
            let (writing, transactions) = PluginSink::new(sink.clone(), writer);
            threads.push(self.sink_thread(subtask, Kind::Sink, Box::new(writing)));
            prepared.push(transactions);
        }
        self.commits.add(move || {
            // A sink may have ended before it heard that the last checkpoint is complete.
            let shown = prepared.iter().try_for_each(|prepared| prepared.show(&sink, u64::MAX));
            shown.and_then(|()| Ok(sink.commit()?)).map_err(|error| error.at(name))
        });
        Ok(threads)
    }

    /// Shows what a sink had prepared for the checkpoint that the job begins from, in one process.
    fn show_restored(&self, node: u32, sink: &OpenSink) -> Result<(), TaskError> {
        let Some(restore) = self.restore().filter(|_| self.part.own == 0) else { return Ok(()) };
        restore.each(&operator_id(self.graph, node), |state| {
            let transactions = decode_splits(state);
            let transactions =
                transactions.ok_or_else(|| TaskError::new("its transactions are damaged"))?;
            transactions.iter().try_for_each(|transaction| Ok(sink.show(transaction)?))
        })
    }

    pub(super) fn result(
        &mut self,
        node: u32,
        schema: &Schema,
        result: SharedResult,
    ) -> Result<Option<SinkThread>, RunError> {
        let subtask = Subtask { node, index: 0 };
        if !self.part.is_own(subtask) {
            return Ok(None);
        }
        lock(&result).open(schema).map_err(RunError::Task)?;
        if let Some(restore) = self.restore() {
            let restored =
                restore.each(&operator_id(self.graph, node), |state| lock(&result).restore(state));
            restored.map_err(RunError::Task)?;
        }
        let sink = Box::new(ResultThread(Arc::clone(&result)));
        let thread = self.sink_thread(subtask, Kind::Result, sink);
        self.commits.add_result(move || lock(&result).finish());
        Ok(Some(thread))
    }

    fn sink_thread(
        &mut self,
        subtask: Subtask,
        kind: Kind,
        sink: Box<dyn BlockingSink>,
    ) -> SinkThread {
        let (name, metrics) = (self.name(subtask), Arc::default());
        self.count(subtask, &name, kind, &metrics);
        let channels = self.inputs.remove(&subtask).unwrap_or_default();
        let channels = channels.into_iter().map(|input| (input.receiver, input.origin)).collect();
        let doorbell = match &self.ends[&subtask] {
            End::Thread(doorbell) => doorbell.clone(),
            End::Worker(_) => Doorbell::default(),
        };
        let checkpoints = self.checkpoints(subtask);
        SinkThread { name, sink, channels, doorbell, metrics, checkpoints }
    }
}

/// The thread that gives a job's result to whoever ran it.
struct ResultThread(Arc<Mutex<Box<dyn ResultSink>>>);

fn lock(result: &Mutex<Box<dyn ResultSink>>) -> MutexGuard<'_, Box<dyn ResultSink>> {
    result.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BlockingSink for ResultThread {
    fn write(&mut self, page: &Buffer) -> Result<(), TaskError> {
        let page = ValidPage::trusted(page).map_err(|error| TaskError::new(error.to_string()))?;
        lock(&self.0).write(&page)
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: u64) -> Result<Vec<u8>, TaskError> {
        lock(&self.0).snapshot()
    }
}

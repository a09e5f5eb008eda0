//! The ends of a job: sources, sinks and its result, each on a thread of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::{
    TaskError,
    channel::Sender,
    graph::{ConnectorSpec, execution::Subtask},
    task::{Checkpoints, TaskMetrics},
};
use millstream_executor::blocking::{BlockingSink, BlockingSource, Doorbell, SinkInputs};
use millstream_loader::{OpenSink, OpenSource};
use millstream_memory::{Buffer, LocalPool};

use super::deployer::{Deployer, End};
use crate::{
    RunError,
    checkpoint::{Position, decode_splits, operator_id},
    exchange::SOURCE_SEGMENTS,
    progress::Kind,
    result::ResultSink,
    threads::{Pace, PluginSink, PluginSource, SplitService},
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
    pub(super) inputs: SinkInputs,
    pub(super) doorbell: Doorbell,
    pub(super) metrics: Arc<TaskMetrics>,
    pub(super) checkpoints: Option<Box<dyn Checkpoints>>,
}

impl Deployer<'_> {
    pub(super) fn sources(
        &mut self,
        node: u32,
        spec: &ConnectorSpec,
        region: u32,
    ) -> Result<Vec<SourceThread>, RunError> {
        let (mut threads, subtasks) = (Vec::new(), self.subtasks(node, region));
        if subtasks.is_empty() {
            return Ok(threads);
        }
        let name = self.graph.nodes[node as usize].name.clone();
        let source = self.open_source(node, spec)?;
        let splits = self.splits(node, &source)?;
        let parallelism = self.graph.parallelism(node, self.runtime.parallelism);
        for subtask in subtasks {
            let exchange = &self.runtime.exchange;
            let mut pace = exchange.source_rate.map(Pace::new);
            let segment_size = self.runtime.network.segment_size();
            let reader = loop {
                let bytes = pace.as_ref().map_or(segment_size, |pace| pace.bytes(segment_size));
                match (source.reader(subtask.index, parallelism, bytes), &mut pace) {
                    // No row has room in so small a page.
                    (Err(_), Some(pace)) if bytes < segment_size => pace.needs(2 * bytes),
                    (reader, _) => break reader?,
                }
            };
            let channel = self.outputs.remove(&subtask).into_iter().flatten();
            let Some(channel) = channel.flat_map(|(_, output)| output.senders).next() else {
                return Err(RunError::Task(TaskError::new(format!("nobody reads source {name}"))));
            };
            let splits = Arc::clone(&splits);
            let record_bytes_max = exchange.record_bytes_max;
            let mut source = PluginSource::new(reader, subtask, splits, record_bytes_max);
            source.pace = pace;
            let groups = &self.part.groups;
            let alignment = self.graph.nodes[node as usize].alignment.as_ref();
            source.aligned = alignment.map(|alignment| groups.add(subtask, alignment));
            if self.is_again {
                let resumed = self.resume(source, subtask);
                source = resumed.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            }
            let source = Box::new(source);
            let (name, metrics) = (self.name(subtask), Arc::default());
            self.count(subtask, &name, Kind::Source, &metrics);
            let most = SOURCE_SEGMENTS + self.runtime.exchange.floating_segments;
            let pool = self.runtime.network.create_local(SOURCE_SEGMENTS, most)?;
            let checkpoints = self.checkpoints(subtask);
            threads.push(SourceThread { name, source, pool, channel, metrics, checkpoints });
        }
        Ok(threads)
    }

    /// The source of a node, which its regions share. One that begins anew opens it anew.
    fn open_source(&mut self, node: u32, spec: &ConnectorSpec) -> Result<OpenSource, RunError> {
        if let Some(opened) = self.opened.get(&node) {
            return Ok(opened.clone());
        }
        let registry = &self.runtime.registry;
        let source = registry.source(&spec.connector, &spec.options, &spec.schema)?;
        self.opened.insert(node, source.clone());
        Ok(source)
    }

    /// Whoever hands out the splits of a source; they are listed when the first region asks.
    fn splits(&self, node: u32, source: &OpenSource) -> Result<Arc<dyn SplitService>, RunError> {
        if let Some(elsewhere) = &self.part.splits {
            return Ok(Arc::clone(elsewhere));
        }
        if !self.part.enumerated.knows(node) {
            let id = operator_id(&self.graph, node);
            let splits = match self.restore().filter(|restore| restore.knows(&id)) {
                Some(restore) => restore.splits(&id).map_err(RunError::Task)?,
                None => source.splits()?,
            };
            self.part.enumerated.add(node, splits);
        }
        Ok(Arc::clone(&self.part.enumerated) as Arc<dyn SplitService>)
    }

    /// A source of a region that begins anew goes on from where it was at the checkpoint, and reads again
    /// what it has read since.
    fn resume(&self, source: PluginSource, subtask: Subtask) -> Result<PluginSource, TaskError> {
        let position = match self.left_off() {
            Some(restore) => {
                restore.position(&operator_id(&self.graph, subtask.node), subtask.index)?
            }
            None => Position::default(),
        };
        source.resume(position)
    }

    /// The sinks of a region. Each region has the sink opened for itself, so that what it has written is its
    /// own, and void if it begins anew.
    pub(super) fn sinks(
        &mut self,
        node: u32,
        spec: &ConnectorSpec,
        region: u32,
    ) -> Result<Vec<SinkThread>, RunError> {
        let (mut threads, mut prepared) = (Vec::new(), Vec::new());
        let subtasks = self.subtasks(node, region);
        if subtasks.is_empty() {
            return Ok(threads);
        }
        let sink: OpenSink =
            self.runtime.registry.sink(&spec.connector, &spec.options, &spec.schema)?;
        let parallelism = self.graph.parallelism(node, self.runtime.parallelism);
        let name = self.graph.nodes[node as usize].name.clone();
        let shown = self.show_restored(node, &subtasks, &sink);
        shown.map_err(|error| RunError::Task(error.at(&name)))?;
        for subtask in subtasks {
            let segment_size = self.runtime.network.segment_size();
            let writer = sink.writer(subtask.index, parallelism, segment_size)?;
            let (writing, transactions) = PluginSink::new(sink.clone(), writer);
            threads.push(self.sink_thread(subtask, Kind::Sink, Box::new(writing)));
            prepared.push(transactions);
        }
        self.commits.add(region, move || {
            // A sink may have ended before it heard that the last checkpoint is complete.
            let shown = prepared.iter().try_for_each(|prepared| prepared.show(&sink, u64::MAX));
            shown.and_then(|()| Ok(sink.commit()?)).map_err(|error| error.at(name))
        });
        Ok(threads)
    }

    /// Shows what a sink had prepared for the checkpoint that it begins from. When the job begins, that is
    /// done for all of its subtasks with the first one; a region that begins anew shows what is its own.
    fn show_restored(
        &self,
        node: u32,
        subtasks: &[Subtask],
        sink: &OpenSink,
    ) -> Result<(), TaskError> {
        let operator = operator_id(&self.graph, node);
        let show = |state: &[u8]| {
            let transactions = decode_splits(state);
            let transactions =
                transactions.ok_or_else(|| TaskError::new("its transactions are damaged"))?;
            transactions.iter().try_for_each(|transaction| Ok(sink.show(transaction)?))
        };
        match (self.is_again, self.restore(), self.left_off()) {
            (false, Some(restore), _) if subtasks.iter().any(|subtask| subtask.index == 0) => {
                restore.each(&operator, show)
            }
            (true, _, Some(restore)) => subtasks
                .iter()
                .try_for_each(|subtask| restore.each_of(&operator, subtask.index, show)),
            _ => Ok(()),
        }
    }

    pub(super) fn result(
        &mut self,
        node: u32,
        schema: &Schema,
        region: u32,
    ) -> Result<Option<SinkThread>, RunError> {
        let Some(subtask) = self.subtasks(node, region).into_iter().find(|it| it.index == 0) else {
            return Ok(None);
        };
        let result = Arc::clone(&self.result);
        lock(&result).open(schema).map_err(RunError::Task)?;
        if let Some(restore) = self.restore() {
            let restored =
                restore.each(&operator_id(&self.graph, node), |state| lock(&result).restore(state));
            restored.map_err(RunError::Task)?;
        }
        let sink = Box::new(ResultThread(Arc::clone(&result)));
        let thread = self.sink_thread(subtask, Kind::Result, sink);
        self.commits.add_result(region, move || lock(&result).finish());
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
        let inputs = SinkInputs { channels, recovers: self.recovers() };
        let doorbell = match &self.ends[&subtask] {
            End::Thread(doorbell) => doorbell.clone(),
            End::Worker(..) => Doorbell::default(),
        };
        let checkpoints = self.checkpoints(subtask);
        SinkThread { name, sink, inputs, doorbell, metrics, checkpoints }
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

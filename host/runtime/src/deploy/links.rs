//! Channels to other processes.

use std::{collections::BTreeMap, sync::Arc, task::Waker};

use millstream_data::{page::Shape, types::Schema};
use millstream_dataflow::{
    TaskError,
    channel::{PAGES_PER_SUBPARTITION_MAX, Receiver, Sender, channel, returning_channel},
    graph::execution::Channel,
};
use millstream_exchange::{
    PartitionId, WorkerId,
    frame::{Hello, Request},
};
use millstream_executor::{Executor, TaskId};
use millstream_memory::{JumboBudget, PoolError};
use millstream_net::{InletConfig, Link, LinkConfig};

use super::Part;
use crate::{RunError, Runtime};

/// The links of a process, one to each other process.
#[derive(Default)]
pub(super) struct Links(BTreeMap<u32, Ends>);

/// What one link will carry.
struct Ends {
    id: TaskId,
    waker: Waker,
    outlets: Vec<(Request, Receiver)>,
    inlets: Vec<InletConfig>,
}

impl Links {
    /// Gives each link a place on a worker.
    pub(super) fn reserve(&mut self, executor: &mut dyn Executor, part: &Part) {
        for (peer, _) in &part.streams {
            let id = executor.reserve(*peer as usize);
            let waker = executor.waker(id);
            self.0.insert(*peer, Ends { id, waker, outlets: Vec::new(), inlets: Vec::new() });
        }
    }

    /// The local end of a channel that leads to another process.
    pub(super) fn outlet(&mut self, peer: u32, wire: &Channel) -> Sender {
        let ends = self.0.get_mut(&peer).expect("there is a link to every process");
        let (sender, receiver) = channel(ends.waker.clone());
        ends.outlets.push((request(wire), receiver));
        sender
    }

    /// The local end of a channel that comes from another process.
    pub(super) fn inlet(
        &mut self,
        runtime: &Runtime,
        peer: u32,
        wire: &Channel,
        schema: &Schema,
        consumer: Waker,
    ) -> Result<Receiver, PoolError> {
        let ends = self.0.get_mut(&peer).expect("there is a link to every process");
        let (network, options) = (&runtime.network, &runtime.exchange);
        let (exclusive, floating) = (options.exclusive_segments, options.floating_segments.max(1));
        let row_max = u64::from(options.record_bytes_max);
        let link = ends.waker.clone();
        let (sender, receiver, returned) = returning_channel(consumer, link, exclusive + floating);
        ends.inlets.push(InletConfig {
            request: request(wire),
            sender,
            returned,
            shape: Arc::new(Shape::new(schema)),
            exclusive: network.create_local(exclusive, exclusive)?,
            floating: network.create_local(1, floating)?,
            jumbo: JumboBudget::new(row_max, row_max),
        });
        Ok(receiver)
    }

    /// Puts the links on their workers.
    pub(super) fn place(
        self,
        executor: &mut dyn Executor,
        runtime: &Runtime,
        job: u64,
        part: &mut Part,
    ) -> Result<(), RunError> {
        let mut links = self.0;
        for (peer, stream) in std::mem::take(&mut part.streams) {
            let (Some(ends), Some(transport)) = (links.remove(&peer), &part.transport) else {
                continue;
            };
            let hello = Hello {
                job,
                worker: WorkerId(part.own),
                segment_bytes: runtime.network.segment_size() as u32,
                record_bytes_max: runtime.exchange.record_bytes_max,
            };
            let Ends { id, outlets, inlets, .. } = ends;
            let peer = format!("worker {peer}");
            let zero_copy = runtime.exchange.zero_copy;
            let queued_max = PAGES_PER_SUBPARTITION_MAX as u32;
            let config = LinkConfig { peer, hello, zero_copy, queued_max, outlets, inlets };
            let link = Link::new(stream, transport, config)?;
            executor
                .watch(id, link.file())
                .map_err(|error| RunError::Task(TaskError::new(error.to_string())))?;
            executor.place(id, Box::new(link));
        }
        Ok(())
    }
}

fn request(wire: &Channel) -> Request {
    let partition =
        PartitionId { result: u64::from(wire.edge), subtask: wire.producer.index, attempt: 0 };
    Request { partition, subpartition: wire.subpartition }
}

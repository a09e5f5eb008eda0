//! From a plan to workers, and the start of tasks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use millstream_exchange::WorkerId;
use millstream_exchange::connection::{Connection, ConnectionConfig, Intake};
use millstream_exchange::frame::{Hello, Request};
use millstream_exchange::partition::ResultPartition;
use millstream_memory::demand::{
    EXCLUSIVE_DEFAULT, FLOATING_DEFAULT, GateSegments, PartitionSegments,
};

use crate::bug::Bug;
use crate::consumer::{Consumer, ConsumerState, Input};
use crate::memory::{Memory, Quota};
use crate::plan::Plan;
use crate::producer::{Output, Producer, ProducerState};
use crate::worker::{Endpoint, EndpointPhase, JumboBytes, Shared, Target, Worker};
use crate::world::Context;

/// The workers of a plan, connected, with nothing sent.
pub(crate) fn workers(plan: &Plan) -> Vec<Worker> {
    (0..plan.workers).map(|index| worker(plan, index)).collect()
}

/// A partition can be found from now on.
pub(crate) fn register(worker: &mut Worker, task: usize, cx: &mut Context) {
    let producer = &mut worker.shared.producers[task];
    producer.state = ProducerState::Running;
    cx.note("task # registers", &[producer.task as u64]);
    let peers: Vec<_> = worker.endpoints.keys().copied().collect();
    for peer in peers {
        let endpoint = &mut worker.endpoints.get_mut(&peer).expect("a peer");
        if endpoint.phase != EndpointPhase::Open {
            continue;
        }
        endpoint.ready = true;
        let waiting: Vec<_> = endpoint.connection.waiting().map(|(reader, _)| reader).collect();
        for reader in waiting {
            worker.find_partition(peer, reader, cx);
        }
    }
}

/// A consumer takes its exclusive segments and asks for its inputs.
pub(crate) fn start(worker: &mut Worker, task: usize, cx: &mut Context) {
    let consumer = &mut worker.shared.consumers[task];
    consumer.state = ConsumerState::Running;
    cx.note("task # starts", &[(cx.plan.producers.len() + consumer.task) as u64]);
    if cx.plan.exclusive == 0 && !cx.saboteur.is_about(Bug::SetNothingAside) {
        consumer.set_aside(&mut worker.shared.memory);
    }
    for index in 0..worker.shared.consumers[task].inputs.len() {
        let shared = &mut worker.shared;
        let input = &mut shared.consumers[task].inputs[index];
        let (peer, subpartition) = (input.peer, input.subpartition);
        let producer = input.producer;
        let endpoint = worker.endpoints.get_mut(&peer).expect("a peer");
        let partition =
            millstream_exchange::PartitionId { result: 7, subtask: producer as u32, attempt: 0 };
        let request = Request { partition, subpartition };
        let Some(channel) = endpoint.connection.open(request, cx.plan.exclusive) else {
            return worker.stop_consumer(task, ConsumerState::Failed, cx);
        };
        endpoint.ready = true;
        for _ in 0..cx.plan.exclusive {
            input.exclusive.push(shared.memory.allocate());
            shared.exclusive += 1;
        }
        input.channel = Some(channel);
        cx.routes.insert((worker.index, peer, channel), input.edge);
        shared.channels.insert((peer, channel), (task, index as u32));
    }
}

fn worker(plan: &Plan, index: usize) -> Worker {
    let (producers, consumers) = (producers(plan, index), consumers(plan, index));
    let of_producers: u32 = producers.iter().map(|task| task.outputs.len() as u32 + 1).sum();
    let of_consumers: u32 =
        consumers.iter().map(|task| task.inputs.len() as u32 * plan.exclusive + 1).sum();
    let aside = if plan.exclusive == 0 { consumers.len() as u32 } else { 0 };
    let segments = of_producers + of_consumers + aside + plan.segments_spare;
    let shared = Shared {
        memory: Memory::new(segments, plan.segments_spare, plan.segment_bytes),
        exclusive: 0,
        jumbo: JumboBytes { free: plan.jumbo_bytes, size: plan.jumbo_bytes },
        producers,
        consumers,
        readers: BTreeMap::new(),
        channels: BTreeMap::new(),
    };
    let peers = (0..plan.workers).filter(|peer| *peer != index);
    let endpoints = peers.map(|peer| (peer, endpoint(plan, index))).collect();
    Worker { index, endpoints, shared }
}

fn endpoint(plan: &Plan, index: usize) -> Endpoint {
    let hello = Hello {
        job: 42,
        worker: WorkerId(index as u32),
        segment_bytes: plan.segment_bytes,
        record_bytes_max: plan.record_bytes_max,
    };
    Endpoint {
        connection: Connection::new(&ConnectionConfig::new(hello), Duration::ZERO),
        intake: Intake::new(),
        target: Target { place: None, segment: None, filled: 0 },
        scratch: vec![0; plan.limits().control_bytes_max as usize],
        submitted: VecDeque::new(),
        ready: true,
        phase: EndpointPhase::Open,
        told_to_close: false,
    }
}

fn producers(plan: &Plan, worker: usize) -> Vec<Producer> {
    let tasks = plan.producers.iter().enumerate().filter(|(_, task)| task.worker == worker);
    tasks
        .filter_map(|(task, its)| {
            let edges = plan.edges.iter().enumerate().filter(|(_, edge)| edge.producer == task);
            let outputs: Vec<_> = edges.map(|(edge, _)| Output::new(edge, its.rows)).collect();
            if outputs.is_empty() {
                return None;
            }
            let segments =
                PartitionSegments::new(outputs.len(), EXCLUSIVE_DEFAULT, FLOATING_DEFAULT);
            let segments = segments.expect("a few subpartitions");
            let quota = Quota::new(segments.required as u32, segments.max as u32);
            let (max, bytes) = (plan.subpartition_segments_max, plan.segment_bytes);
            let result = ResultPartition::new(outputs.len() as u32, max, bytes, plan.flush);
            Some(Producer::new(task, its.registers_at, its.weight, result, quota, outputs))
        })
        .collect()
}

fn consumers(plan: &Plan, worker: usize) -> Vec<Consumer> {
    let tasks = plan.consumers.iter().enumerate().filter(|(_, task)| task.worker == worker);
    tasks
        .filter_map(|(task, its)| {
            let edges = plan.edges.iter().enumerate().filter(|(_, edge)| edge.consumer == task);
            let inputs: Vec<_> = edges
                .map(|(index, edge)| Input {
                    edge: index,
                    producer: edge.producer,
                    subpartition: edge.subpartition,
                    peer: plan.producers[edge.producer].worker,
                    channel: None,
                    exclusive: Vec::new(),
                    floating: Vec::new(),
                    task_tag: 0,
                })
                .collect();
            if inputs.is_empty() {
                return None;
            }
            let (exclusive, floating) = (plan.exclusive as usize, plan.floating as usize);
            let segments = GateSegments::new(inputs.len(), exclusive, floating, None);
            let segments = segments.expect("a few channels");
            assert_eq!(segments.exclusive, exclusive);
            let (required, max) = (segments.floating_required, segments.floating_total);
            let quota =
                Quota::new((required + segments.aside) as u32, (max + segments.aside) as u32);
            let max = plan.record_bytes_max;
            Some(Consumer::new(task, its.starts_at, its.weight, max, quota, inputs))
        })
        .collect()
}

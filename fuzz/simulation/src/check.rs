//! What must hold after every step, and at the end.

use millstream_exchange::connection::Connection;
use millstream_exchange::{ChannelId, ReaderId};

use crate::consumer::{Consumer, ConsumerState};
use crate::producer::ProducerState;
use crate::worker::{EndpointPhase, Worker};
use crate::world::World;

/// Credit is conserved on every channel, and no worker uses more than its memory.
pub(crate) fn invariants(world: &World) -> Result<(), String> {
    for worker in &world.workers {
        budget(worker)?;
        for consumer in &worker.shared.consumers {
            floating(worker, consumer)?;
            for input in &consumer.inputs {
                let Some(channel) = input.channel else { continue };
                credit(world, worker, input.peer, channel, input.edge)?;
            }
        }
    }
    Ok(())
}

/// Nothing can happen any more: that must be the end and not a deadlock.
pub(crate) fn finished(world: &World) -> Result<(), String> {
    let faults = world.cx.plan.has_faults();
    for worker in &world.workers {
        for task in &worker.shared.producers {
            let complete = task.state == ProducerState::Finished;
            if !task.is_over() || (!faults && !complete) {
                return Err(format!("deadlock: {}", stuck(world)));
            }
        }
        for task in &worker.shared.consumers {
            let complete = task.state == ConsumerState::Finished;
            if !task.is_over() || (!faults && !complete) || !task.holding.is_empty() {
                return Err(format!("deadlock: {}", stuck(world)));
            }
            for input in task.inputs.iter().filter(|_| complete) {
                let lost = |error| format!("channel of edge {}: {error}", input.edge);
                world.cx.ledgers[input.edge].check_complete().map_err(lost)?;
            }
        }
        for (peer, endpoint) in &worker.endpoints {
            let over = matches!(endpoint.phase, EndpointPhase::Lost | EndpointPhase::Closed);
            if !over || (world.cx.losses == 0 && endpoint.phase == EndpointPhase::Lost) {
                let (index, phase) = (worker.index, endpoint.phase);
                return Err(format!("connection of {index} with {peer} ends as {phase:?}"));
            }
        }
        let (segments, jumbo) = (worker.shared.memory.used(), &worker.shared.jumbo);
        if segments > 0 || jumbo.free != jumbo.size {
            let bytes = jumbo.size - jumbo.free;
            let index = worker.index;
            return Err(format!("worker {index} leaks {segments} segments, {bytes} jumbo bytes"));
        }
    }
    Ok(())
}

/// Who is not at its end, in a few words.
pub(crate) fn stuck(world: &World) -> String {
    let mut words = Vec::new();
    for worker in &world.workers {
        for task in worker.shared.producers.iter().filter(|task| !task.is_over()) {
            words.push(format!("producer {} is {:?}", task.task, task.state));
        }
        for task in worker.shared.consumers.iter().filter(|task| !task.is_over()) {
            words.push(format!("consumer {} is {:?}", task.task, task.state));
        }
        for task in worker.shared.consumers.iter().filter(|task| !task.holding.is_empty()) {
            words.push(format!("consumer {} holds {}", task.task, task.holding.len()));
        }
        for (peer, endpoint) in &worker.endpoints {
            words.push(format!("connection {}-{peer} is {:?}", worker.index, endpoint.phase));
        }
    }
    words.join(", ")
}

/// Every segment in use belongs to a pool that may have it.
fn budget(worker: &Worker) -> Result<(), String> {
    let shared = &worker.shared;
    let of_producers: u32 = shared.producers.iter().map(|task| task.quota.used()).sum();
    let of_consumers: u32 = shared.consumers.iter().map(|task| task.quota.used()).sum();
    let expected = shared.exclusive + of_producers + of_consumers;
    let found = shared.memory.used();
    if found != expected as usize {
        return Err(format!(
            "worker {}: {found} segments used, pools know {expected}",
            worker.index
        ));
    }
    Ok(())
}

/// The channels of a gate hold as many floating buffers as its pool gave out; a channel that ended
/// may hold some that are not back yet.
fn floating(worker: &Worker, consumer: &Consumer) -> Result<(), String> {
    let mut held = u32::from(consumer.aside.is_some());
    let mut all_open = true;
    for input in &consumer.inputs {
        let connection = &worker.endpoints[&input.peer].connection;
        let credit = input.channel.and_then(|channel| connection.channel_credit(channel));
        let Some(credit) = credit else {
            all_open = false;
            continue;
        };
        held += credit.floating();
        let free = input.exclusive.len() + input.floating.len();
        if free != credit.free() as usize {
            return Err(format!("edge {}: {free} free segments, machine: {credit:?}", input.edge));
        }
        if credit.free() < credit.required() && !credit.is_waiting() {
            return Err(format!("edge {} neither has nor waits for its buffers", input.edge));
        }
    }
    let used = consumer.quota.used();
    if held > used || (all_open && held < used) {
        return Err(format!("consumer {}: {held} floating, pool: {used}", consumer.task));
    }
    Ok(())
}

/// The invariant of credit-based flow control.
fn credit(
    world: &World,
    worker: &Worker,
    peer: usize,
    channel: ChannelId,
    edge: usize,
) -> Result<(), String> {
    let ours = &worker.endpoints[&peer];
    let theirs = &world.workers[peer].endpoints[&worker.index];
    let open = ours.phase == EndpointPhase::Open && theirs.phase == EndpointPhase::Open;
    let Some(consumer) = ours.connection.channel_credit(channel).filter(|_| open) else {
        return Ok(());
    };
    let ledger = &world.cx.ledgers[edge];
    let void = ledger.void && consumer.initial() == 0;
    let Some(granted) = granted(&theirs.connection, channel) else { return Ok(()) };
    let granted = if ledger.request_under_way { consumer.initial() } else { granted };
    let sum = granted
        + ledger.credit_under_way
        + consumer.unannounced()
        + ledger.data_under_way
        + consumer.in_use();
    if sum != consumer.held() && !void {
        let (under_way, data) = (ledger.credit_under_way, ledger.data_under_way);
        return Err(format!(
            "{channel} of worker {}: credit {granted} + {under_way} under way, {data} pages under \
             way, {consumer:?}",
            worker.index
        ));
    }
    Ok(())
}

fn granted(connection: &Connection, channel: ChannelId) -> Option<u32> {
    connection.reader_credit(ReaderId(channel.0)).map(|credit| credit.available())
}

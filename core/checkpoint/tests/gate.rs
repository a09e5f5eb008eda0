//! The aligner with the gate of the exchange: whatever arrives when, what was read before the snapshot and
//! what is in flight are together what is in front of the barriers.

use std::collections::VecDeque;

use millstream_checkpoint::align::{Action, Aligner, Input};
use millstream_exchange::{
    element::{Data, Element},
    event::{Alignment, Barrier, Event, Purpose},
    gate::{ChannelState, InputGate},
};
use proptest::prelude::*;

/// Milliseconds that a barrier with timeout is aligned.
const TIMEOUT_MS: u32 = 50;

/// A page, by its channel and number.
type Page = (u32, u32);

/// What a producer has still to send.
#[derive(Debug)]
struct Producer {
    elements: VecDeque<Element<Page>>,
    sent: u32,
    /// Whether it waits behind a barrier.
    blocked: bool,
}

struct Task {
    now: i64,
    gate: InputGate<Page>,
    aligner: Aligner,
    producers: Vec<Producer>,
    read: Vec<Page>,
    /// What was read before the snapshot.
    snapshot: Option<Vec<Page>>,
    /// By channel: data in flight so far, with their numbers, while it is captured.
    capturing: Vec<Option<Vec<(u32, Page)>>>,
    in_flight: Vec<Page>,
    is_complete: bool,
}

impl Task {
    /// Each channel has so many pages in front of its barrier, and so many behind it.
    fn new(pages: &[(u32, u32)], barrier: Barrier) -> Self {
        let producer = |(channel, (front, behind)): (usize, &(u32, u32))| {
            let page = |number| Element::Data(Data::page((channel as u32, number), 1));
            let mut elements: VecDeque<_> = (0..*front).map(page).collect();
            elements.push_back(Element::Event(Event::Barrier(barrier)));
            elements.extend((*front..front + behind).map(page));
            Producer { elements, sent: 0, blocked: false }
        };
        Self {
            now: 0,
            gate: InputGate::new(pages.len() as u32),
            aligner: Aligner::new(pages.len() as u32),
            producers: pages.iter().enumerate().map(producer).collect(),
            read: Vec::new(),
            snapshot: None,
            capturing: pages.iter().map(|_| None).collect(),
            in_flight: Vec::new(),
            is_complete: false,
        }
    }

    /// The next element of a channel arrives.
    fn arrive(&mut self, channel: u32) -> bool {
        let producer = &mut self.producers[channel as usize];
        if producer.blocked {
            return false;
        }
        let Some(element) = producer.elements.pop_front() else { return false };
        producer.sent += 1;
        let sequence = producer.sent;
        match element {
            Element::Data(data) => {
                if let Some(captured) = &mut self.capturing[channel as usize] {
                    captured.push((sequence, data.buffer));
                }
                let _ = self.gate.push_data(channel, sequence, data);
            }
            Element::Event(event) => {
                producer.blocked = event.blocks_upstream();
                let _ = self.gate.push_event(channel, sequence, event).unwrap();
            }
        }
        true
    }

    /// The task reads one element.
    fn poll(&mut self) -> bool {
        let Some(polled) = self.gate.poll() else { return false };
        let channel = polled.channel;
        match polled.element {
            Element::Data(data) => self.read.push(data.buffer),
            Element::Event(Event::Barrier(barrier)) => {
                let blocked = self.gate.state(channel) == ChannelState::Blocked;
                let sequence = polled.sequence;
                self.step(Input::Barrier { channel, sequence, barrier, blocked });
            }
            Element::Event(Event::Announcement { barrier, .. }) => {
                self.step(Input::Announcement { channel, barrier });
            }
            Element::Event(event) => panic!("nobody sent {event}"),
        }
        true
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.aligner.step(self.now, input, &mut actions);
        for action in actions {
            match action {
                Action::Snapshot { in_flight, .. } => {
                    assert!(self.snapshot.replace(self.read.clone()).is_none(), "one snapshot");
                    self.is_complete = !in_flight;
                }
                Action::Resume { channel } => {
                    self.gate.resume(channel);
                    self.producers[channel as usize].blocked = false;
                }
                Action::Overtake { channel, checkpoint } => {
                    let _ = self.gate.overtake(channel, checkpoint).expect("it waits there");
                }
                Action::Capture { channel } => {
                    let queued = self.gate.queued_data(channel);
                    let captured = queued.map(|(number, data)| (number, data.buffer)).collect();
                    self.capturing[channel as usize] = Some(captured);
                }
                Action::CaptureEnd { channel, sequence } => {
                    let captured = self.capturing[channel as usize].take().expect("it was begun");
                    let last = sequence.expect("no channel ends");
                    let before = captured.into_iter().filter(|(number, _)| *number < last);
                    self.in_flight.extend(before.map(|(_, page)| page));
                }
                Action::Captured { .. } => self.is_complete = true,
                Action::Abort { checkpoint, .. } => panic!("nobody gives {checkpoint} up"),
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_in_front_of_the_barriers_is_in_the_checkpoint(
        pages in prop::collection::vec((0..6u32, 0..6u32), 1..5),
        mode in 0..3usize,
        choices in prop::collection::vec((any::<u8>(), 0..8i64), 0..80),
    ) {
        let timeout = Alignment::Timeout { timeout_ms: TIMEOUT_MS };
        let alignment = [Alignment::Aligned, timeout, Alignment::Unaligned][mode];
        let purpose = Purpose::Checkpoint;
        let barrier = Barrier { checkpoint: 1, timestamp_ms: 0, alignment, purpose };
        let mut task = Task::new(&pages, barrier);
        for (choice, pause) in choices {
            task.now += pause;
            if task.aligner.next_deadline().is_some_and(|at| at <= task.now) {
                task.step(Input::Time);
            }
            match choice % 3 {
                0 => {
                    task.poll();
                }
                _ => {
                    task.arrive(u32::from(choice / 3) % pages.len() as u32);
                }
            }
        }
        // The rest, until nothing moves any more.
        while task.poll() || (0..pages.len() as u32).any(|channel| task.arrive(channel)) {}
        prop_assert!(task.is_complete);
        prop_assert!(task.producers.iter().all(|producer| producer.elements.is_empty()), "stuck");
        let mut found = task.snapshot.expect("a snapshot");
        if alignment == Alignment::Aligned {
            prop_assert!(task.in_flight.is_empty());
        }
        found.append(&mut task.in_flight);
        found.sort_unstable();
        let channels = pages.iter().enumerate();
        let front: Vec<Page> = channels
            .flat_map(|(channel, (front, _))| (0..*front).map(move |page| (channel as u32, page)))
            .collect();
        prop_assert_eq!(found, front);
        let all: u32 = pages.iter().map(|(front, behind)| front + behind).sum();
        prop_assert_eq!(task.read.len() as u32, all, "each page is read once");
    }
}

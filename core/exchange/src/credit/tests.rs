use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const CHANNEL: ChannelId = ChannelId(1);

/// A pool of floating buffers that remembers who waits.
struct Pool {
    free: u32,
    size: u32,
    waiting: VecDeque<ChannelId>,
    released: Vec<ChannelId>,
}

impl Pool {
    fn new(size: u32) -> Self {
        Self { free: size, size, waiting: VecDeque::new(), released: Vec::new() }
    }
}

impl FloatingBuffers for Pool {
    fn take_or_listen(&mut self, channel: ChannelId, _: u32) -> bool {
        if self.free > 0 {
            self.free -= 1;
            return true;
        }
        assert!(!self.waiting.contains(&channel), "{channel} waits twice");
        self.waiting.push_back(channel);
        false
    }

    fn give_back(&mut self, _: ChannelId) {
        self.free += 1;
        assert!(self.free <= self.size);
    }

    fn release(&mut self, channel: ChannelId) {
        self.waiting.retain(|waiting| *waiting != channel);
        self.released.push(channel);
    }
}

#[test]
fn a_backlog_borrows_up_to_what_is_required() {
    let mut pool = Pool::new(8);
    let mut credit = ConsumerCredit::new(CHANNEL, 2);
    assert_eq!(credit.on_backlog(3, &mut pool), Announce::Schedule);
    assert_eq!((credit.free(), credit.floating(), pool.free), (5, 3, 5));
    assert_eq!(credit.required(), 5);
    // The backlog is what waits, not what is new: the same number asks for nothing more.
    assert_eq!(credit.on_backlog(3, &mut pool), Announce::Nothing);
    assert_eq!((credit.free(), pool.free), (5, 5));
    assert_eq!(credit.on_backlog(4, &mut pool), Announce::Nothing);
    assert_eq!(credit.take_unannounced(), 4);
    assert_eq!(credit.on_backlog(5, &mut pool), Announce::Schedule);
    assert_eq!(credit.take_unannounced(), 1);
    assert_eq!(credit.take_unannounced(), 0);
}

#[test]
fn a_channel_waits_for_the_pool_at_most_once() {
    let mut pool = Pool::new(1);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_backlog(3, &mut pool), Announce::Schedule);
    assert!(credit.is_waiting());
    // The pool of this test refuses a channel that waits twice.
    assert_eq!(credit.on_backlog(9, &mut pool), Announce::Nothing);
    pool.waiting.clear();
    assert_eq!(credit.on_floating(&mut pool), Some(Announce::Nothing));
    assert!(credit.is_waiting(), "10 are required and 3 are there");
    assert_eq!((credit.free(), credit.unannounced()), (3, 2));
}

#[test]
fn a_buffer_that_is_no_longer_needed_is_declined() {
    let mut pool = Pool::new(0);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Nothing);
    assert!(credit.is_waiting());
    assert_eq!(credit.on_backlog(0, &mut pool), Announce::Nothing);
    assert_eq!(credit.on_floating(&mut pool), None);
    assert_eq!(credit.on_floating(&mut pool), None, "it does not wait any more");
    assert_eq!(credit.free(), 1);
    let mut released = ConsumerCredit::new(ChannelId(2), 0);
    assert_eq!(released.on_backlog(1, &mut pool), Announce::Nothing);
    released.release(&mut pool);
    assert_eq!(released.on_floating(&mut pool), None);
}

#[test]
fn a_channel_that_does_not_wait_is_offered_nothing() {
    let mut pool = Pool::new(0);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Nothing);
    assert_eq!(credit.on_backlog(0, &mut pool), Announce::Nothing);
    assert_eq!(credit.on_floating(&mut pool), None, "declined");
    assert_eq!(credit.on_data(), Some(BufferKind::Exclusive));
    assert_eq!(credit.on_floating(&mut pool), None, "it has not asked again");
    assert_eq!(credit.free(), 0);
}

#[test]
fn an_exclusive_buffer_that_comes_back_to_just_enough_is_announced() {
    let mut pool = Pool::new(1);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_data(), Some(BufferKind::Exclusive));
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Schedule);
    assert_eq!(credit.take_unannounced(), 1);
    // Two are required, one floating is free, and this one makes two.
    let announced = (Recycled::Keep, Announce::Schedule);
    assert_eq!(credit.recycle(BufferKind::Exclusive, &mut pool), announced);
    assert_eq!((credit.free(), credit.floating(), pool.free), (2, 1, 0));
}

#[test]
fn resuming_a_channel_without_own_buffers_voids_what_it_would_announce() {
    let mut pool = Pool::new(1);
    let mut credit = ConsumerCredit::new(CHANNEL, 0);
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Schedule);
    credit.resume();
    assert_eq!(credit.take_unannounced(), 0);
}

#[test]
fn floating_buffers_are_filled_first_and_go_home_at_once() {
    let mut pool = Pool::new(1);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Schedule);
    assert_eq!(credit.on_data(), Some(BufferKind::Floating));
    assert_eq!(credit.on_data(), Some(BufferKind::Exclusive));
    assert_eq!(credit.on_data(), None);
    assert_eq!(credit.take_unannounced(), 1);
    let home = (Recycled::Home, Announce::Nothing);
    assert_eq!(credit.recycle(BufferKind::Floating, &mut pool), home);
    assert_eq!(credit.held(), 1);
    let announced = (Recycled::Keep, Announce::Schedule);
    assert_eq!(credit.recycle(BufferKind::Exclusive, &mut pool), announced);
    assert_eq!((credit.free(), credit.unannounced()), (1, 1));
}

#[test]
fn an_exclusive_buffer_that_comes_back_sends_a_spare_floating_one_home() {
    let mut pool = Pool::new(2);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_data(), Some(BufferKind::Exclusive));
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Schedule);
    assert_eq!((credit.take_unannounced(), pool.free), (2, 0));
    assert_eq!(credit.on_backlog(0, &mut pool), Announce::Nothing);
    // Two free, one required: the credit that was announced for the floating one passes over.
    let kept = (Recycled::Keep, Announce::Nothing);
    assert_eq!(credit.recycle(BufferKind::Exclusive, &mut pool), kept);
    assert_eq!((credit.free(), credit.floating(), pool.free), (2, 1, 1));
    assert_eq!(credit.unannounced(), 0);
}

#[test]
fn a_blocked_channel_without_own_buffers_lends_nothing() {
    let mut pool = Pool::new(3);
    let mut credit = ConsumerCredit::new(CHANNEL, 0);
    assert_eq!(credit.on_backlog(2, &mut pool), Announce::Schedule);
    assert_eq!(credit.on_blocking(&mut pool), Announce::Nothing);
    assert_eq!((credit.free(), credit.unannounced(), pool.free), (0, 0, 3));
    credit.resume();
    assert_eq!(credit.on_backlog(1, &mut pool), Announce::Schedule);
    assert_eq!(credit.take_unannounced(), 1);

    let mut own = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(own.on_backlog(1, &mut pool), Announce::Schedule);
    assert_eq!(own.on_blocking(&mut pool), Announce::Nothing);
    assert_eq!((own.free(), own.unannounced()), (2, 1), "it keeps what it announced");
    assert_eq!((own.on_data(), own.on_data()).0, Some(BufferKind::Floating));
    assert_eq!(own.on_blocking(&mut pool), Announce::Nothing);
    assert_eq!((own.free(), own.unannounced()), (1, 2), "and what it started with");
    own.resume();
    assert_eq!(own.unannounced(), 2);
}

#[test]
fn a_released_channel_takes_nothing_and_returns_everything() {
    let mut pool = Pool::new(4);
    let mut credit = ConsumerCredit::new(CHANNEL, 1);
    assert_eq!(credit.on_backlog(2, &mut pool), Announce::Schedule);
    assert_eq!(credit.on_data(), Some(BufferKind::Floating));
    assert_eq!(credit.on_data(), Some(BufferKind::Floating));
    assert_eq!(credit.on_data(), Some(BufferKind::Exclusive));
    credit.release(&mut pool);
    credit.release(&mut pool);
    assert_eq!(pool.released, [CHANNEL]);
    assert_eq!((credit.free(), credit.held(), credit.unannounced()), (0, 3, 0));
    let home = (Recycled::Home, Announce::Nothing);
    assert_eq!(credit.recycle(BufferKind::Exclusive, &mut pool), home);
    assert_eq!(credit.recycle(BufferKind::Floating, &mut pool), home);
    assert_eq!(credit.on_backlog(9, &mut pool), Announce::Nothing);
    assert_eq!((credit.held(), pool.free), (1, 2), "it asks for nothing any more");
}

#[test]
fn occupied_counts_what_is_queued_here_and_there() {
    let mut pool = Pool::new(0);
    let mut credit = ConsumerCredit::new(CHANNEL, 2);
    assert_eq!(credit.occupied(1), 1);
    let _ = credit.on_backlog(5, &mut pool);
    assert_eq!(credit.occupied(1), 6);
    let _ = credit.on_backlog(u32::MAX, &mut pool);
    assert_eq!(credit.occupied(9), u32::MAX, "whatever a peer claims");
}

/// Both ends of one channel with the messages between them, and the pages it has still to send.
struct Channel {
    producer: ProducerCredit,
    consumer: ConsumerCredit,
    to_producer: VecDeque<u32>,
    to_consumer: VecDeque<u32>,
    scheduled: bool,
    queued: VecDeque<BufferKind>,
    unsent: u32,
    read: u32,
}

impl Channel {
    fn new(id: u32, initial: u32, pages: u32) -> Self {
        Self {
            producer: ProducerCredit::new(ChannelId(id), initial),
            consumer: ConsumerCredit::new(ChannelId(id), initial),
            to_producer: VecDeque::new(),
            to_consumer: VecDeque::new(),
            scheduled: false,
            queued: VecDeque::new(),
            unsent: pages,
            read: 0,
        }
    }

    fn note(&mut self, announce: Announce) {
        if announce == Announce::Schedule {
            assert!(!self.scheduled, "two messages for one credit");
            self.scheduled = true;
        }
    }

    fn send(&mut self) -> bool {
        if self.unsent == 0 || !self.producer.is_runnable(Head::Data) {
            return false;
        }
        let permit = self.producer.permit().expect("runnable with data");
        let _ = permit.redeem();
        self.unsent -= 1;
        self.to_consumer.push_back(self.unsent);
        true
    }

    fn receive(&mut self, pool: &mut Pool) -> bool {
        let Some(backlog) = self.to_consumer.pop_front() else { return false };
        let kind = self.consumer.on_data().expect("sent with credit");
        self.queued.push_back(kind);
        let announce = self.consumer.on_backlog(backlog, pool);
        self.note(announce);
        true
    }

    fn read(&mut self, pool: &mut Pool) -> bool {
        let Some(kind) = self.queued.pop_front() else { return false };
        self.read += 1;
        let (recycled, announce) = self.consumer.recycle(kind, pool);
        assert_eq!(recycled == Recycled::Home, kind == BufferKind::Floating);
        pool.free += u32::from(recycled == Recycled::Home);
        self.note(announce);
        true
    }

    fn announce(&mut self) -> bool {
        if !core::mem::take(&mut self.scheduled) {
            return false;
        }
        let credit = self.consumer.take_unannounced();
        assert!(credit > 0);
        self.to_producer.push_back(credit);
        true
    }

    fn grant(&mut self) -> bool {
        let Some(credit) = self.to_producer.pop_front() else { return false };
        self.producer.add(credit).expect("small numbers");
        true
    }

    /// The backlog of a channel that can say it no other way.
    fn tell(&mut self, pool: &mut Pool) -> bool {
        if !self.producer.must_announce(self.unsent) || self.consumer.is_waiting() {
            return false;
        }
        let before = self.consumer.held();
        let announce = self.consumer.on_backlog(self.unsent, pool);
        self.note(announce);
        self.consumer.held() > before
    }

    fn check(&self) {
        let under_way: u32 = self.to_producer.iter().sum();
        let sum = self.producer.available()
            + under_way
            + self.consumer.unannounced()
            + self.to_consumer.len() as u32
            + self.queued.len() as u32;
        assert_eq!(sum, self.consumer.held());
        assert_eq!(self.queued.len() as u32, self.consumer.in_use());
    }
}

proptest! {
    /// Whatever the order of things, credit is conserved, the pool is never overdrawn, nobody
    /// waits for ever, and every page arrives.
    #[test]
    fn credit_is_conserved_and_everything_arrives(
        initial in prop::collection::vec(0u32..3, 1..5),
        pages in 0u32..40,
        floating in 1u32..6,
        steps in prop::collection::vec((0usize..5, 0usize..6), 0..600),
    ) {
        let mut pool = Pool::new(floating);
        let mut channels: Vec<Channel> =
            initial.iter().enumerate().map(|(id, n)| Channel::new(id as u32, *n, pages)).collect();
        let act = |channels: &mut Vec<Channel>, pool: &mut Pool, index: usize, action: usize| {
            let channel = &mut channels[index];
            let moved = match action {
                0 => channel.send(),
                1 => channel.receive(pool),
                2 => channel.read(pool),
                3 => channel.announce(),
                4 => channel.grant(),
                _ => channel.tell(pool),
            };
            while pool.free > 0 {
                let Some(next) = pool.waiting.pop_front() else { break };
                // The pool hands over a buffer that it holds; a channel that declines leaves it.
                pool.free -= 1;
                let channel = &mut channels[next.0 as usize];
                match channel.consumer.on_floating(pool) {
                    Some(announce) => channel.note(announce),
                    None => pool.free += 1,
                }
            }
            let floating_held: u32 = channels.iter().map(|c| c.consumer.floating()).sum();
            assert_eq!(floating_held + pool.free, pool.size);
            channels.iter().for_each(Channel::check);
            moved
        };
        for (index, action) in steps {
            let index = index % channels.len();
            act(&mut channels, &mut pool, index, action);
        }
        loop {
            let mut moved = false;
            for index in 0..channels.len() {
                for action in 0..6 {
                    moved |= act(&mut channels, &mut pool, index, action);
                }
            }
            if !moved {
                break;
            }
        }
        for channel in &channels {
            prop_assert_eq!(channel.read, pages);
        }
    }
}

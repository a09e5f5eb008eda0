//! A subtask of the source, as the host's threads run it: splits are read page by page.

use std::{collections::VecDeque, rc::Rc, sync::Arc, task::Waker};

use millstream_data::{
    page::{RowBuilder, Shape, Shortage, Sizing},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    channel::{Element, Sender},
    task::{Checkpoints, Order},
};
use millstream_exchange::event::{Event, Purpose};
use millstream_memory::LocalPool;

use super::{
    actor::Polled,
    bytes,
    cx::{Cx, Splits},
    keeper::End,
    rows::{self, Table},
};

/// Reads splits into a channel.
pub(super) struct Source {
    node: u32,
    table: Rc<Table>,
    /// The cells that are read.
    places: Vec<usize>,
    channel: Sender,
    pool: LocalPool,
    sizing: Sizing,
    end: End,
    /// What the channel has no room for.
    waiting: VecDeque<Element>,
    reading: Option<Reading>,
    /// The splits that were begun, by their numbers in this attempt.
    taken: Vec<u32>,
    /// It is known that no split is left.
    exhausted: bool,
    ended: bool,
    dismissed: bool,
    /// The end of data goes in front of the next barrier.
    drains: bool,
    /// The job stops with the savepoint that was taken: nothing is read any more.
    stopped: bool,
    rows_max: u32,
    /// Rows are late from the first one on.
    in_order: bool,
}

/// A split that is being read.
struct Reading {
    number: u32,
    split: u64,
    row: u64,
}

impl Source {
    pub(super) fn new(
        (node, table): (u32, Rc<Table>),
        schema: &Schema,
        channel: Sender,
        (pool, segment_size): (LocalPool, usize),
        end: End,
        (rows_max, in_order): (u32, bool),
    ) -> Result<Self, TaskError> {
        let places = table.places(schema)?;
        let sizing = Sizing::new(Arc::new(Shape::new(schema)), segment_size);
        let sizing = sizing.ok_or_else(|| TaskError::new("a row does not fit a segment"))?;
        Ok(Self {
            node,
            table,
            places,
            channel,
            pool,
            sizing,
            end,
            waiting: VecDeque::new(),
            reading: None,
            taken: Vec::new(),
            exhausted: false,
            ended: false,
            dismissed: false,
            drains: false,
            stopped: false,
            rows_max,
            in_order,
        })
    }

    /// Does one thing.
    pub(super) fn poll(&mut self, cx: &mut Cx, waker: &Waker) -> Result<Polled, TaskError> {
        while let Some(element) = self.waiting.pop_front() {
            let Err(refused) = self.channel.push(element) else { continue };
            self.waiting.push_front(refused);
            self.channel.notify_room(waker);
            return Ok(if self.channel.is_full() { Polled::Idle } else { Polled::Again });
        }
        match self.end.next_order(waker) {
            Some(Order::Trigger(barrier)) => {
                cx.points += 1;
                let position = self.position();
                self.end.write(barrier.checkpoint, position);
                self.end.finish(barrier.checkpoint);
                if self.drains {
                    self.waiting.push_back(Element::Event(Event::EndOfData { drain: true }));
                }
                self.waiting.push_back(Element::Event(Event::Barrier(barrier)));
                self.stopped |= barrier.purpose == Purpose::StopWithSavepoint;
                return Ok(Polled::Again);
            }
            Some(Order::End) => {
                self.dismissed = true;
                return Ok(Polled::Again);
            }
            Some(Order::Drain) => {
                self.drains = true;
                return Ok(Polled::Again);
            }
            Some(Order::Abort(_) | Order::Complete(_)) => return Ok(Polled::Again),
            None => {}
        }
        if self.ended || self.stopped {
            if !self.dismissed {
                return Ok(Polled::Idle);
            }
            let end = Element::Event(Event::EndOfPartition);
            return match self.channel.push(end) {
                Ok(()) => Ok(Polled::Finished),
                Err(refused) => {
                    self.waiting.push_back(refused);
                    Ok(Polled::Again)
                }
            };
        }
        let element = self.read(cx, waker)?;
        let idles = element.is_none();
        self.waiting.extend(element);
        Ok(if idles { Polled::Idle } else { Polled::Again })
    }

    /// Reads on; nothing if there is no segment, for which the source then waits.
    fn read(&mut self, cx: &mut Cx, waker: &Waker) -> Result<Option<Element>, TaskError> {
        let Some(reading) = &mut self.reading else {
            return Ok(Some(match cx.splits.get_mut(&self.node).and_then(Splits::next) {
                None => {
                    self.ended = true;
                    self.end.end_of_data();
                    Element::Event(Event::EndOfData { drain: true })
                }
                Some((number, split)) => {
                    let (split, row) = split_of(&split)?;
                    let node = self.node;
                    cx.say(|| format!("split {split} of {node} is read from row {row} on"));
                    self.reading = Some(Reading { number, split, row });
                    self.taken.push(number);
                    Element::SplitBegins
                }
            }));
        };
        // Whether splits are left is asked for now and then; until then there is no watermark.
        if !self.exhausted && (self.in_order || cx.random.percent(20)) {
            self.exhausted = cx.splits.get(&self.node).is_none_or(Splits::is_exhausted);
            if self.exhausted {
                return Ok(Some(Element::LastSplit));
            }
        }
        let rows = self.table.splits.get(reading.split as usize).map_or(&[][..], Vec::as_slice);
        let rows = rows.get(reading.row as usize..).unwrap_or(&[]);
        if rows.is_empty() {
            self.reading = None;
            return self.read(cx, waker);
        }
        let Some(segment) = self.pool.request() else {
            self.pool.register(waker);
            return Ok(None);
        };
        let mut page = RowBuilder::new(segment, self.sizing.shape(), self.sizing.layout());
        for row in rows.iter().take(cx.random.between(1, self.rows_max) as usize) {
            if !page.has_room() {
                break;
            }
            if rows::put(&mut page, row, &self.places).is_err() {
                page.roll_back();
                if page.rows() > 0 {
                    break;
                }
                if !self.sizing.make_room_of(Shortage::Heap) {
                    return Err(TaskError::new("a row does not fit a segment"));
                }
                // The next page has more room for texts.
                drop(page);
                return self.read(cx, waker);
            }
            reading.row += 1;
        }
        let sealed = page.seal(false);
        self.sizing.learn(sealed.rows, &sealed.demand);
        Ok(Some(Element::Page(sealed.buffer.freeze(sealed.length))))
    }

    /// Where it is: what was begun, and what is left of the split at hand.
    fn position(&self) -> Vec<u8> {
        let mut position = Vec::new();
        bytes::put(self.taken.len() as u64, &mut position);
        self.taken.iter().for_each(|number| bytes::put(u64::from(*number), &mut position));
        if let Some(Reading { number, split, row }) = &self.reading {
            bytes::put(u64::from(*number), &mut position);
            bytes::put_all(&split_bytes(*split, *row), &mut position);
        }
        position
    }
}

/// What a source knows a split by: its number in the job, and the first row that was not read.
pub(super) fn split_bytes(split: u64, row: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes::put(split, &mut bytes);
    bytes::put(row, &mut bytes);
    bytes
}

/// Reads what [`split_bytes`] wrote.
pub(super) fn split_of(bytes: &[u8]) -> Result<(u64, u64), TaskError> {
    let rest = &mut &*bytes;
    Ok((bytes::take(rest)?, bytes::take(rest)?))
}

//! Timers: a key wants to be called when the watermark, or processing time, has reached a time.
//!
//! Timers are state like any other: one map for each key group, whose map keys are the time, the key
//! and a namespace, and whose values are empty. So a timer that is registered twice is one timer, a
//! snapshot has the timers of each key group, and the first one of a group is the first entry of its
//! map. Only a time that no timer of a group is before is kept beside the state, so that a time
//! that makes nothing due costs nothing; it is found out anew when state was put back.

use alloc::{collections::BTreeSet, string::String, vec, vec::Vec};

use millstream_state::{
    Backend, Column, Key as StateKey, Kind, StateId, StateSpec, description::Part,
};

use crate::{
    chain::{Context, TaskError},
    state::{Contents, KeyedState, damaged},
};

/// Bytes of the time in front of an entry.
const TIME: usize = 8;

/// What time passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    /// The watermark.
    Event,
    /// The wall clock.
    Processing,
}

/// The timers of the keys of one subtask, of both kinds of time.
#[derive(Debug)]
pub(crate) struct TimerService {
    pub(crate) event: Timers,
    pub(crate) processing: Timers,
    /// When the chain is told the processing time next, as far as it was asked for.
    wakes_at: Option<i64>,
}

impl TimerService {
    /// Timers without an entry, each in a namespace of so many bytes.
    pub(crate) fn open(state: &mut KeyedState, namespace: usize) -> Result<Self, TaskError> {
        let event = Timers::open(state, "event-timers", namespace)?;
        let processing = Timers::open(state, "processing-timers", namespace)?;
        Ok(Self { event, processing, wakes_at: None })
    }

    /// Takes the first timer that is due out of the state, see [`Timers::next_due`].
    pub(crate) fn next_due(
        &mut self,
        kind: TimeKind,
        state: &mut KeyedState,
        timer: &mut Timer,
    ) -> Result<bool, TaskError> {
        let (timers, now) = match kind {
            TimeKind::Event => (&mut self.event, state.watermark),
            TimeKind::Processing => (&mut self.processing, state.time),
        };
        timers.next_due(state, now, timer)
    }

    /// The chain was told the processing time.
    pub(crate) fn was_told(&mut self) {
        self.wakes_at = None;
    }

    /// Asks to be told when the first timer of processing time is due. To be called at the end of
    /// each call of the chain.
    pub(crate) fn ask(&mut self, context: &mut Context<'_>) {
        let Some(first) = self.processing.first() else { return };
        if self.wakes_at.is_none_or(|asked| first < asked) {
            self.wakes_at = Some(first);
            context.wake_at(first);
        }
    }

    /// Finds out the first timers, after state was put back.
    pub(crate) fn restored(&mut self, state: &mut KeyedState) -> Result<(), TaskError> {
        self.event.restored(state)?;
        self.processing.restored(state)
    }
}

/// The timers of the keys of one subtask.
#[derive(Debug)]
pub(crate) struct Timers {
    state: StateId,
    /// Bytes of each namespace.
    namespace: usize,
    /// The first key group of the subtask, and for each group a time that no timer is before: that of
    /// the first one, or of one that was deleted. `None` if there is no timer.
    first_group: u32,
    earliest: Vec<Option<i64>>,
    /// Key groups that may have a timer, by that time.
    groups: BTreeSet<(i64, u32)>,
    entry: Vec<u8>,
}

/// A timer that is due.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// When it was to fire, in milliseconds.
    pub(crate) time: i64,
    entry: Vec<u8>,
    key_end: usize,
}

impl Timer {
    /// The bytes of its key.
    pub(crate) fn key(&self) -> &[u8] {
        self.entry.get(TIME..self.key_end).unwrap_or(&[])
    }

    /// The namespace that it was registered in.
    pub(crate) fn namespace(&self) -> &[u8] {
        self.entry.get(self.key_end..).unwrap_or(&[])
    }
}

impl Timers {
    /// Timers without an entry, each in a namespace of so many bytes.
    pub(crate) fn open(
        state: &mut KeyedState,
        name: &str,
        namespace: usize,
    ) -> Result<Self, TaskError> {
        let id = state.register(&StateSpec {
            name: String::from(name),
            kind: Kind::Map,
            key: Some(8),
            namespace: Some(0),
            value: Some(0),
        })?;
        let [hash, key] = state.key_parts();
        let map_key = vec![Part::Time, hash, key, Part::Opaque(Some(namespace as u32))];
        state.describe(id, Contents { of_group: true, map_key, ..Contents::default() });
        let owned = state.groups();
        Ok(Self {
            state: id,
            namespace,
            first_group: owned.start,
            earliest: vec![None; owned.len()],
            groups: BTreeSet::new(),
            entry: Vec::new(),
        })
    }

    /// Registers a timer of the key, in a namespace: that of `key`. It is one timer however often it is
    /// registered.
    pub(crate) fn register(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        time: i64,
    ) -> Result<(), TaskError> {
        self.set_entry(key, time);
        let group = state.group_of(key.hash);
        let owner = state.group_key(group);
        let entry = Column::Same(&self.entry);
        state.change(|store, _| {
            store.put_entries(self.state, &owner.within(&[]).batch(), entry, Column::Same(&[]))
        })?;
        if self.earliest(group).is_none_or(|earliest| time < earliest) {
            self.set_earliest(group, Some(time));
        }
        Ok(())
    }

    /// Deletes a timer, if there is one.
    pub(crate) fn delete(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        time: i64,
    ) -> Result<(), TaskError> {
        self.set_entry(key, time);
        self.remove(state, state.group_of(key.hash), &self.entry)
    }

    /// A time that no timer is before; `None` if there is none.
    pub(crate) fn first(&self) -> Option<i64> {
        self.groups.first().map(|(time, _)| *time)
    }

    /// Takes the first timer that is due at `now` out of the state and puts it into `timer`;
    /// `false` if there is none. Timers come in the order of time, those of one time in an order that
    /// follows from their keys. What was registered or deleted meanwhile counts.
    pub(crate) fn next_due(
        &mut self,
        state: &mut KeyedState,
        now: i64,
        timer: &mut Timer,
    ) -> Result<bool, TaskError> {
        while let Some((time, group)) = self.groups.first().copied()
            && time <= now
        {
            let (mut first, mut second) = (None, None);
            let each = |entry: &[u8]| {
                if first.is_some() {
                    second = Some(time_of(entry));
                    return false;
                }
                first = Some(time_of(entry));
                timer.entry.clear();
                timer.entry.extend_from_slice(entry);
                true
            };
            let owner = state.group_key(group);
            state.scan_keys(self.state, &owner.within(&[]), each)?;
            let first = first.transpose()?;
            if first != Some(time) {
                // The one of this time was deleted, and other groups may have earlier ones.
                self.set_earliest(group, first);
                continue;
            }
            self.remove(state, group, &timer.entry)?;
            self.set_earliest(group, second.transpose()?);
            timer.time = time;
            let key_end = timer.entry.len().checked_sub(self.namespace);
            timer.key_end = key_end.filter(|end| *end >= TIME).ok_or_else(too_short)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Finds out the first timer of each key group, after state was put back.
    pub(crate) fn restored(&mut self, state: &mut KeyedState) -> Result<(), TaskError> {
        state.groups().try_for_each(|group| self.find_earliest(state, group))
    }

    fn find_earliest(&mut self, state: &mut KeyedState, group: u32) -> Result<(), TaskError> {
        let (owner, mut first) = (state.group_key(group), None);
        state.scan_keys(self.state, &owner.within(&[]), |entry| {
            first = Some(time_of(entry));
            false
        })?;
        self.set_earliest(group, first.transpose()?);
        Ok(())
    }

    fn remove(&self, state: &mut KeyedState, group: u32, entry: &[u8]) -> Result<(), TaskError> {
        let owner = state.group_key(group);
        state.change(|store, _| {
            store.remove_entries(self.state, &owner.within(&[]).batch(), Column::Same(entry))
        })
    }

    fn set_entry(&mut self, key: &StateKey<'_>, time: i64) {
        debug_assert_eq!(key.namespace.len(), self.namespace);
        self.entry.clear();
        // The order of the bytes is that of time.
        self.entry.extend_from_slice(&(time ^ i64::MIN).to_be_bytes());
        self.entry.extend_from_slice(key.key);
        self.entry.extend_from_slice(key.namespace);
    }

    fn earliest(&self, group: u32) -> Option<i64> {
        let index = group.checked_sub(self.first_group)?;
        self.earliest.get(index as usize).copied().flatten()
    }

    fn set_earliest(&mut self, group: u32, time: Option<i64>) {
        let index = group.wrapping_sub(self.first_group) as usize;
        // The state has refused keys of other groups.
        let Some(earliest) = self.earliest.get_mut(index) else { return };
        if let Some(before) = core::mem::replace(earliest, time) {
            self.groups.remove(&(before, group));
        }
        self.groups.extend(time.map(|time| (time, group)));
    }
}

fn time_of(entry: &[u8]) -> Result<i64, TaskError> {
    let time = entry.first_chunk().ok_or_else(too_short)?;
    Ok(i64::from_be_bytes(*time) ^ i64::MIN)
}

fn too_short() -> TaskError {
    damaged("timer", &"it is too short")
}

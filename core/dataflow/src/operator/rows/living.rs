//! States of functions that expire: each value, row of a list and entry is forgotten a while after it was last
//! written. The time of that, eight bytes, is in front of it, and functions never see it.

use alloc::vec::Vec;

use millstream_state::{
    Backend, Column, Keys, StateId,
    ttl::{Cleanup, STAMP, Ttl},
};

use super::{RowStates, states::Life};
use crate::chain::TaskError;

/// A state that expires.
#[derive(Debug)]
pub(super) struct Living {
    ttl: Ttl,
    /// Removes what has expired, a few entries with each use.
    cleanup: Cleanup,
}

/// What may be seen of a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(Option<(Ttl, i64)>);

impl Seen {
    /// What was kept, without its time; `None` if it has expired.
    #[inline]
    pub(super) fn seen(self, kept: &[u8]) -> Option<&[u8]> {
        match self.0 {
            None => Some(kept),
            Some((ttl, now)) if ttl.is_expired(kept, now) => None,
            Some(_) => kept.get(STAMP..),
        }
    }
}

/// Bytes of the time in front of what a state keeps.
pub(super) fn stamp(life: Life) -> usize {
    if life.is_some() { STAMP } else { 0 }
}

/// A value as it is kept, with the time in front if it expires.
pub(super) fn stamped<'a>(life: Life, now: i64, value: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
    if life.is_none() {
        return value;
    }
    out.clear();
    out.extend_from_slice(&now.to_le_bytes());
    out.extend_from_slice(value);
    out
}

impl RowStates {
    /// States that are added next are forgotten so many milliseconds after they were last written, by processing
    /// time: each value, row of a list or entry by itself. `None`: they are kept for ever.
    pub fn expire_after(&mut self, millis: Option<i64>) {
        self.ttl = millis.map(Ttl::new);
    }

    /// Whether states that are added next expire.
    pub fn expire(&self) -> bool {
        self.ttl.is_some()
    }

    /// Lets a state expire that was just added, if it is to.
    pub(super) fn expires(&mut self, id: StateId) -> Life {
        let ttl = self.ttl?;
        let cleanup = self.state.expires(id, ttl);
        self.living.push(Living { ttl, cleanup });
        u16::try_from(self.living.len() - 1).ok()
    }

    /// What may be seen of a state in the use at hand, which is that of so many keys.
    pub(super) fn life(&mut self, life: Life, uses: usize) -> Result<Seen, TaskError> {
        let Some(life) = life else { return Ok(Seen(None)) };
        let Self { state, living, .. } = self;
        let Some(Living { ttl, cleanup }) = living.get_mut(usize::from(life)) else {
            return Ok(Seen(None));
        };
        (0..uses).try_for_each(|_| state.clean(cleanup))?;
        Ok(Seen(Some((*ttl, state.time))))
    }

    /// Takes the time off a value that was read; `false` if it has expired, and is none.
    pub(super) fn lives(&mut self, life: Life, value: &mut Vec<u8>) -> Result<bool, TaskError> {
        if life.is_none() {
            return Ok(true);
        }
        let lives = self.life(life, 1)?.seen(value).is_some();
        value.drain(..if lives { STAMP.min(value.len()) } else { value.len() });
        Ok(lives)
    }

    /// Changes values in place: one that has expired is `initial` again.
    pub(super) fn update_living(
        &mut self,
        (state, life): (StateId, u16),
        keys: &Keys<'_>,
        initial: &[u8],
        mut each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), TaskError> {
        let living = self.life(Some(life), keys.len())?;
        let now = self.state.time;
        let first = Vec::from(stamped(Some(life), now, initial, &mut self.stamped));
        self.state.update(state, keys, &first, |index, kept| {
            let lives = living.seen(kept).is_some();
            let Some((time, value)) = kept.split_first_chunk_mut::<STAMP>() else { return };
            *time = now.to_le_bytes();
            if !lives && value.len() == initial.len() {
                value.copy_from_slice(initial);
            }
            each(index, value);
        })
    }

    /// Appends rows to lists; `width` is that of a row with its time, if all have the same.
    pub(super) fn append_living(
        &mut self,
        (list, width, life): (StateId, Option<usize>, u16),
        keys: &Keys<'_>,
        ends: &[u32],
        bytes: &[u8],
    ) -> Result<(), TaskError> {
        self.life(Some(life), keys.len())?;
        let Self { state, stamped, .. } = self;
        stamped.clear();
        let (mut begin, mut behind) = (0, Vec::with_capacity(ends.len()));
        for end in ends {
            stamped.extend_from_slice(&state.time.to_le_bytes());
            stamped.extend_from_slice(bytes.get(begin..*end as usize).unwrap_or(&[]));
            begin = *end as usize;
            behind.push(stamped.len() as u32);
        }
        let rows = match width {
            Some(width) => Column::Fixed { width, bytes: stamped },
            None => Column::Variable { begin: 0, ends: &behind, bytes: stamped },
        };
        state.change(|store, served| store.append(list, &keys.skip(served), rows.skip(served)))
    }
}

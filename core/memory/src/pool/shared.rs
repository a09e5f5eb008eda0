//! What all handles of one pool share: the store, and the register of ledgers.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{LocalPoolOptions, PoolError, Quota, spread_spare};
use crate::ledger::{Ledger, Terms};
use crate::segment::Arena;
use crate::store::{SEGMENTS_MAX, Store};
use crate::sync::{Arc, SpinLock};

pub(crate) struct Shared {
    pub(crate) store: Store,
    register: SpinLock<Register>,
}

/// Who was promised what. Touched when pools open and close and when the store ran empty, never
/// when a segment is taken or returned in ordinary flow.
#[derive(Default)]
struct Register {
    id_next: u64,
    /// Open local pools first come first, ids ascending; closed ones as long as segments are out.
    entries: Vec<Entry>,
}

struct Entry {
    ledger: Arc<Ledger>,
    /// Segments promised: `terms.required`, 0 once closed, less and less for exclusive segments.
    required: usize,
    /// Segments it may have: `terms.max`, as above.
    max: usize,
}

impl Shared {
    pub(crate) fn new(arena: Box<dyn Arena>) -> Self {
        Self { store: Store::new(arena), register: SpinLock::new(Register::default()) }
    }

    /// Opens a ledger and redistributes the spare segments.
    pub(super) fn open(
        this: &Arc<Self>,
        options: LocalPoolOptions,
        shrinks: bool,
    ) -> Result<Arc<Ledger>, PoolError> {
        let LocalPoolOptions { name, required, max, overdraft } = options;
        if max < required {
            return Err(PoolError::MaxBelowRequired { name, required, max });
        }
        let total = this.store.total();
        let ledger = this.register.with(|register| {
            let promised = register.promised();
            if required > total - promised {
                let segment_size = this.store.segment_size();
                return Err(PoolError::NotEnough { name, required, promised, total, segment_size });
            }
            let terms = Terms {
                id: register.id_next,
                name: name.into(),
                overdraft: overdraft.min(SEGMENTS_MAX) as u32,
                shrinks,
            };
            register.id_next += 1;
            let ledger = Arc::new(Ledger::new(this.clone(), terms, required as u32));
            register.entries.push(Entry { ledger: ledger.clone(), required, max });
            register.redistribute(total);
            Ok(ledger)
        })?;
        this.wake_waiting();
        Ok(ledger)
    }

    /// Closes a ledger: its promise ends, and it is forgotten when its last segment is back.
    pub(super) fn close(&self, ledger: &Ledger) {
        let forgotten = self.register.with(|register| {
            register.promise(ledger.terms.id, |_| 0);
            register.redistribute(self.store.total());
            if ledger.close() { register.remove(ledger.terms.id) } else { None }
        });
        drop(forgotten);
        self.wake_waiting();
    }

    /// Closes an exclusive ledger, which got `missing` segments less than it was promised.
    ///
    /// What is left of the promise ends with each segment that comes back (see
    /// [`shrink`](Self::shrink)).
    pub(super) fn close_exclusive(&self, ledger: &Ledger, missing: usize) {
        let forgotten = self.register.with(|register| {
            register.promise(ledger.terms.id, |required| required - missing);
            register.redistribute(self.store.total());
            if ledger.close() { register.remove(ledger.terms.id) } else { None }
        });
        drop(forgotten);
        self.wake_waiting();
    }

    /// Ends the promise of one segment of an exclusive ledger.
    pub(crate) fn shrink(&self, ledger: &Ledger) {
        self.register.with(|register| {
            register.promise(ledger.terms.id, |required| required.saturating_sub(1));
            register.redistribute(self.store.total());
        });
        self.wake_waiting();
    }

    /// Charges a ledger for a segment above its size, if all others could have their sizes beside it. Else
    /// one that waits for what it was promised might wait for ever: for a segment with rows that only its
    /// own task can read.
    pub(crate) fn charge_overdraft(&self, ledger: &Ledger) -> bool {
        self.register.with(|register| {
            let others = register.entries.iter().filter(|e| e.ledger.terms.id != ledger.terms.id);
            let theirs = others.map(|e| e.ledger.used().max(e.ledger.size()) as usize);
            let taken = theirs.sum::<usize>() + ledger.used() as usize;
            taken < self.store.total() && ledger.charge_overdraft()
        })
    }

    /// Drops a closed ledger from the register.
    pub(crate) fn forget(&self, id: u64) {
        // Dropped outside of the lock.
        let forgotten = self.register.with(|register| register.remove(id));
        drop(forgotten);
    }

    /// Wakes every pool that waits: a segment came back to an empty store, or sizes changed.
    ///
    /// Which of them may take the segment is theirs to find out; waking one that cannot costs it a
    /// poll, not waking one that could would cost it its life.
    pub(crate) fn wake_waiting(&self) {
        self.each_ledger(|ledger| {
            if ledger.is_waiting() {
                ledger.notify();
            }
        });
    }

    /// Calls `f` for each ledger in order of creation, without holding the lock meanwhile.
    pub(super) fn each_ledger(&self, mut f: impl FnMut(&Ledger)) {
        let mut id_next = 0;
        // By id, not by position: entries may be removed between two steps.
        while let Some(ledger) = self.register.with(|register| register.at_or_after(id_next)) {
            f(&ledger);
            id_next = ledger.terms.id + 1;
        }
    }

    /// The number of segments that are out, by the books.
    pub(super) fn leased(&self) -> usize {
        self.register
            .with(|register| register.entries.iter().map(|e| e.ledger.used() as usize).sum())
    }
}

impl Register {
    fn promised(&self) -> usize {
        self.entries.iter().map(|entry| entry.required).sum()
    }

    /// Gives every ledger its new size.
    fn redistribute(&mut self, total: usize) {
        let spare = total - self.promised();
        let quotas = self.entries.iter().map(|e| Quota { required: e.required, max: e.max });
        let sizes = spread_spare(spare, quotas);
        for (entry, size) in self.entries.iter().zip(sizes) {
            entry.ledger.resize(size as u32);
        }
    }

    /// Changes what the ledger `id` is promised, and its maximum to the same.
    fn promise(&mut self, id: u64, change: impl Fn(usize) -> usize) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.ledger.terms.id == id) {
            entry.required = change(entry.required);
            entry.max = entry.required;
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Ledger>> {
        let position = self.entries.iter().position(|entry| entry.ledger.terms.id == id)?;
        Some(self.entries.remove(position).ledger)
    }

    fn at_or_after(&self, id: u64) -> Option<Arc<Ledger>> {
        let position = self.entries.partition_point(|entry| entry.ledger.terms.id < id);
        self.entries.get(position).map(|entry| entry.ledger.clone())
    }
}

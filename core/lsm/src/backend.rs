//! The backend: what it is made of, and how state is written and found.

mod compaction;
mod flush;
mod maps;
mod open;
mod read;
mod serve;
mod snapshot;
mod work;
mod write;

use alloc::{sync::Arc, vec::Vec};
use core::cell::RefCell;

use millstream_state::{
    KeyHash, Kind, Lease, Owned, Place, StateError, StateId, StateSpec, ttl::Ttl,
};
use millstream_storage::FileId;

use crate::{
    budget::{Budget, Staging},
    buffer::{Tables, WriteBuffer, other_kind, unknown},
    cache::{Cache, Wanted},
    compression::{Codec, Compression, Format},
    config::{HEADS_MIN, LsmConfig, Shares},
    name::Order,
    run::Run,
    schedule::Schedule,
    stack::Stack,
    transfers::Transfers,
    writer::Press,
};
use compaction::Compaction;
use flush::Flush;
use maps::Resume;
pub use open::OpenError;
use open::Opening;
use snapshot::Snapshot;
pub use snapshot::{SnapshotFile, SnapshotFiles};

/// Write buffers that wait to be written to files, at most: their numbers are part of a [`Place`].
const FROZEN_MAX: usize = 8;
/// Zstandard may take one part in so many of the budget, where it need not be.
const ZSTD_PART: u64 = 16;

/// State in a write buffer and in sorted files. See the [crate].
#[derive(Debug)]
pub struct LsmBackend<L: Lease> {
    config: LsmConfig,
    shares: Shares,
    budget: Budget<L>,
    order: Order,
    hash: KeyHash,
    states: Vec<State>,
    /// What is written to.
    active: WriteBuffer<L>,
    /// What waits to be written to files, the newest first.
    frozen: Vec<WriteBuffer<L>>,
    /// The files.
    stack: Arc<Stack>,
    schedule: Schedule,
    /// Runs that are replaced, but may still be read.
    obsolete: Vec<Arc<Run>>,
    cache: Cache<L>,
    staging: Staging<L>,
    transfers: Transfers,
    press: Press,
    compression: Option<Arc<dyn Compression>>,
    /// Blocks that are being read for the cache. Their runs are not deleted meanwhile.
    reading: Vec<Wanted>,
    /// Of the call that waited last: the keys behind the one that waits, and those of them that were not
    /// looked at yet.
    asked: (usize, usize),
    /// Bytes that indexes and filters take.
    indexes: u64,
    next_file: u64,
    flush: Option<Flush>,
    compaction: Option<Compaction>,
    snapshot: Option<Snapshot>,
    /// What snapshots keep, by their numbers.
    kept: Vec<(u64, Arc<Stack>)>,
    last_snapshot: u64,
    /// Files of the last snapshot, in order.
    listed: Vec<FileId>,
    opening: Option<Opening>,
    failed: Option<StateError>,
    /// Pieces of values that are not in one place; each list ends with `None`.
    gathered: RefCell<Vec<Option<Place>>>,
    /// The scan of a map that waits, and the map key it goes on with.
    resume: RefCell<Option<(Resume, Vec<u8>)>>,
    now: i64,
    merged: u64,
}

#[derive(Debug)]
struct State {
    spec: StateSpec,
    tables: Tables,
    ttl: Option<Ttl>,
    /// Whether somebody has registered it since the backend was opened.
    is_registered: bool,
}

impl<L: Lease> LsmBackend<L> {
    /// A backend without states for the key groups `owned`, whose keys have the hash `hash`.
    ///
    /// # Errors
    /// [`StateError::BudgetTooSmall`] if the budget is below [the least](LsmConfig::least_budget).
    pub fn new(
        lease: L,
        owned: Owned,
        hash: KeyHash,
        config: LsmConfig,
    ) -> Result<Self, StateError> {
        let shares = Shares::new(config.budget, lease.segment_size());
        let segment = lease.segment_size();
        let too_small = || {
            let needed = LsmConfig::least_budget(segment).max(config.budget + 1);
            StateError::BudgetTooSmall { given: config.budget, needed }
        };
        shares.cache(HEADS_MIN).ok_or_else(too_small)?;
        let cache = shares.cache(0).ok_or_else(too_small)?;
        let budget = Budget::new(lease, config.budget, shares.buffers);
        if !budget.reserve(shares.scratch()) {
            return Err(too_small());
        }
        let order = Order::new(hash, owned);
        Ok(Self {
            config,
            shares,
            order,
            hash,
            states: Vec::new(),
            active: WriteBuffer::new(budget.share(shares.buffer()), owned, hash),
            frozen: Vec::new(),
            stack: Arc::new(Stack::new(order.ranks())),
            schedule: Schedule::default(),
            obsolete: Vec::new(),
            cache: Cache::new(budget.clone(), cache),
            staging: Staging::new(budget.clone(), shares.staging as usize),
            budget,
            transfers: Transfers::default(),
            press: Press::default(),
            compression: None,
            reading: Vec::new(),
            asked: (0, 0),
            indexes: 0,
            next_file: config.first_file.0,
            flush: None,
            compaction: None,
            snapshot: None,
            kept: Vec::new(),
            last_snapshot: 0,
            listed: Vec::new(),
            opening: None,
            failed: None,
            gathered: RefCell::new(Vec::new()),
            resume: RefCell::new(None),
            now: i64::MIN,
            merged: 0,
        })
    }

    /// Brings Zstandard. Memory for it is taken when a file needs it: new ones that are to be compressed with it
    /// take LZ4 if it would be more than a sixteenth of the budget, or if nobody brings it.
    #[must_use]
    pub fn with_compression(mut self, zstd: Arc<dyn Compression>) -> Self {
        self.compression = Some(zstd);
        self
    }

    /// Lets compaction drop what has expired of a state whose values begin with their
    /// [time](millstream_state::ttl).
    pub fn set_ttl(&mut self, state: StateId, ttl: Ttl) {
        if let Some(state) = self.states.get_mut(usize::from(state.0)) {
            state.ttl = Some(ttl);
        }
    }

    /// Tells the processing time, in milliseconds since the epoch.
    pub fn set_time(&mut self, now: i64) {
        self.now = now;
    }

    /// What the backend has in files.
    pub fn metrics(&self) -> LsmMetrics {
        LsmMetrics {
            runs: self.stack.depth(),
            files: self.stack.runs().len(),
            bytes: self.stack.runs().iter().map(|run| run.place.length).sum(),
            indexes: self.indexes,
            paged: self.stack.runs().iter().filter(|run| run.index.is_paged()).count(),
            merged: self.merged,
        }
    }

    /// A state, if it can be used.
    fn state(&self, state: StateId) -> Result<&State, StateError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.opening.is_some() {
            return Err(StateError::Waits);
        }
        let known = self.states.get(usize::from(state.0)).filter(|state| state.is_registered);
        known.ok_or_else(|| unknown(state))
    }

    fn state_of(&self, state: StateId, kind: Kind) -> Result<&State, StateError> {
        let found = self.state(state)?;
        if found.spec.kind == kind { Ok(found) } else { Err(other_kind(&found.spec)) }
    }

    /// Whether all state is in the buffer that is written to.
    fn is_all_active(&self) -> bool {
        self.frozen.is_empty() && self.stack.is_empty()
    }

    fn take_file(&mut self) -> FileId {
        let file = FileId(self.next_file);
        self.next_file += 1;
        file
    }

    /// What was found, or is being looked for, may be another now.
    fn changes(&mut self) {
        self.gathered.get_mut().clear();
        *self.resume.get_mut() = None;
    }

    /// Takes bytes for what need not be in memory, from the cache, and leaves room for heads; `false` if there
    /// are none to spare.
    fn reserve_spare(&mut self, bytes: u64) -> bool {
        self.shares.cache(self.indexes + bytes + HEADS_MIN).is_some() && self.reserve(bytes)
    }

    /// Takes bytes for the head of a run, which is in memory as long as the run is there.
    fn reserve_head(&mut self, bytes: u64) -> Result<(), StateError> {
        if self.reserve(bytes) {
            return Ok(());
        }
        let given = self.config.budget;
        // What is missing, rounded up to segments, if all else is as it is.
        let missing = (1..).find(|count| {
            let shares = Shares { total: given + count * self.shares.segment, ..self.shares };
            shares.cache(self.indexes + bytes).is_some() || *count > bytes
        });
        let needed = given + missing.unwrap_or(1) * self.shares.segment;
        Err(StateError::BudgetTooSmall { given, needed })
    }

    /// Takes bytes for indexes and filters, from the cache; `false` if it has none.
    fn reserve(&mut self, bytes: u64) -> bool {
        let Some(cache) = self.shares.cache(self.indexes + bytes) else { return false };
        self.cache.limit(cache);
        if !self.budget.reserve(bytes) {
            return false;
        }
        self.indexes += bytes;
        true
    }

    fn release(&mut self, bytes: u64) {
        self.budget.release(bytes);
        self.indexes -= bytes;
        if let Some(cache) = self.shares.cache(self.indexes) {
            self.cache.limit(cache);
        }
    }

    /// How a new file is compressed that is to be like this.
    fn codec(&mut self, wanted: Codec) -> Codec {
        let zstd = self.compression.as_ref().map_or(u64::MAX, |zstd| zstd.memory());
        let is_small = zstd <= self.shares.total / ZSTD_PART;
        match wanted {
            Codec::Zstd if !is_small || self.take_zstd().is_err() => Codec::Lz4,
            wanted => wanted,
        }
    }

    /// Sees to it that files of a format can be read.
    fn can_read(&mut self, format: Format) -> Result<(), StateError> {
        match format {
            Format::Untagged | Format::Tagged => Ok(()),
            Format::WithZstd => self.take_zstd(),
        }
    }

    /// Takes memory for Zstandard, from the cache, once.
    fn take_zstd(&mut self) -> Result<(), StateError> {
        if self.press.zstd.is_some() {
            return Ok(());
        }
        let Some(zstd) = self.compression.clone() else {
            let what = "is in files that are compressed with zstd, which this program has not got";
            return Err(StateError::Misused { state: "all".into(), what });
        };
        let shares = Shares { zstd: zstd.memory(), ..self.shares };
        let cache = shares.cache(self.indexes);
        let cache = cache.ok_or_else(|| self.out_of_budget("zstd for its files"))?;
        self.cache.limit(cache);
        if !self.budget.reserve(shares.zstd) {
            return Err(self.out_of_budget("zstd for its files"));
        }
        (self.shares, self.press.zstd) = (shares, Some(zstd));
        Ok(())
    }

    fn out_of_budget(&self, what: &str) -> StateError {
        StateError::OutOfBudget { state: what.into(), held: self.budget.held() }
    }
}

impl<L: Lease> Drop for LsmBackend<L> {
    fn drop(&mut self) {
        self.budget.release(self.indexes + self.shares.scratch());
    }
}

/// What a backend has in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LsmMetrics {
    /// Files that one value may be in, at most.
    pub runs: usize,
    /// Files in all.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of memory for their indexes and filters.
    pub indexes: u64,
    /// Files whose indexes and filters are not in memory, but read page by page.
    pub paged: usize,
    /// Entries that compaction has written.
    pub merged: u64,
}

//! Lending managed memory, and files, to a chain that lives in a plugin.

mod files;

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex},
};

use millstream_abi::{
    COMPRESSION_LZ4, COMPRESSION_NONE, FAILED, FILES_KEPT, FILES_RESTORE, FILES_SCRATCH,
    LentSegment, OK, StateHost, Status,
};
use millstream_dataflow::chain::{Codec, FilesUse, Levels, StateFiles, StateMemory};
use millstream_memory::{Segment, lend::LendTable};

/// Segments that the state of one chain may hold at once: 64 GiB of 4 KiB.
const LENT_MAX: usize = 1 << 24;

/// The memory of a chain's state, and the segments that the chain holds. The plugin knows its address.
pub(crate) struct LentState {
    memory: Arc<dyn StateMemory>,
    lent: LendTable<Segment>,
    /// Used by the thread that runs the chain, so that nobody ever waits for the lock.
    files: Option<Mutex<StateFiles>>,
    files_budget: u64,
    /// What the files are for, as the plugin is told, and the first that it makes.
    files_use: (u32, u64),
    files_compression: u32,
}

impl LentState {
    /// Lends from `memory`.
    pub(crate) fn new(memory: Arc<dyn StateMemory>) -> Box<Self> {
        let files = memory.files();
        let files_budget = files.as_ref().map_or(0, |files| files.budget);
        let files_use = match files.as_ref().map(|files| files.purpose) {
            Some(FilesUse::Kept { first }) => (FILES_KEPT, first.0),
            Some(FilesUse::Restore) => (FILES_RESTORE, 0),
            Some(FilesUse::Scratch) | None => (FILES_SCRATCH, 0),
        };
        let code = |codec: Codec| match codec {
            Codec::Plain => COMPRESSION_NONE,
            Codec::Lz4 | Codec::Zstd => COMPRESSION_LZ4,
        };
        let levels = files.as_ref().map_or(Levels::default(), |files| files.compression);
        let files_compression = code(levels.upper) | code(levels.bottom) << 8;
        let (files, lent) = (files.map(Mutex::new), LendTable::new(LENT_MAX));
        Box::new(Self { memory, lent, files, files_budget, files_use, files_compression })
    }

    /// What the plugin is told. Good as long as `self` is where it is.
    pub(crate) fn host(&self) -> StateHost {
        StateHost {
            size: size_of::<StateHost>() as u32,
            lender: ptr::from_ref(self).cast_mut().cast(),
            segment_size: self.memory.segment_size(),
            lease,
            give_back,
            reserve,
            release,
            files_budget: self.files_budget,
            files_use: self.files_use.0,
            files_compression: self.files_compression,
            first_file: self.files_use.1,
            submit: files::submit,
            completion: files::completion,
        }
    }
}

/// # Safety
/// `lender` is that of [`LentState::host`], and the chain is open.
unsafe fn state<'a>(lender: *mut c_void) -> &'a LentState {
    // SAFETY: the caller's promise: the chain that is open owns the state.
    unsafe { &*lender.cast::<LentState>() }
}

unsafe extern "C" fn lease(lender: *mut c_void, lent: *mut LentSegment) -> Status {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open.
    let state = unsafe { state(lender) };
    let Some(mut segment) = state.memory.lease() else { return FAILED };
    let (start, length) = (segment.as_mut_ptr(), segment.len());
    let Ok(token) = state.lent.lend(segment) else { return FAILED };
    // SAFETY: the plugin lends `lent` for the call.
    unsafe { lent.write(LentSegment { start, length, token, page_bytes: u32::MAX }) };
    OK
}

unsafe extern "C" fn give_back(lender: *mut c_void, token: u64) {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open.
    let state = unsafe { state(lender) };
    // A token that is not good is a plugin's mistake without consequence.
    drop(state.lent.take_back(token));
}

unsafe extern "C" fn reserve(lender: *mut c_void, bytes: u64) -> Status {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open.
    if unsafe { state(lender) }.memory.reserve(bytes) { OK } else { FAILED }
}

unsafe extern "C" fn release(lender: *mut c_void, bytes: u64) {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open.
    unsafe { state(lender) }.memory.release(bytes);
}

//! Files of a chain's state, for a chain that lives in a plugin.

use std::{ffi::c_void, ptr::NonNull, sync::MutexGuard};

use millstream_abi::{
    BorrowedBytes, BytesSink, FAILED, FILE_CREATE, FILE_DELETE, FILE_READ, FILE_SYNC, FILE_WRITE,
    FileCompletion, FileRequest, OK, Status,
};
use millstream_dataflow::chain::StateFiles;
use millstream_memory::Segment;
use millstream_storage::{FileId, Request};

use super::{LentState, state};
use crate::call::lend_str;

impl LentState {
    /// The files, as the thread that runs the chain uses them.
    fn files(&self) -> Option<MutexGuard<'_, StateFiles>> {
        // A panic of a storage has ended the chain that it served.
        self.files.as_ref()?.lock().ok()
    }
}

pub(super) unsafe extern "C" fn submit(lender: *mut c_void, request: *const FileRequest) -> Status {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open, and lends the
    // request for the call.
    let (state, request) = unsafe { (state(lender), *request) };
    let FileRequest { token, operation, file, offset, length, bytes } = request;
    let file = FileId(file);
    let memory = || {
        let start = NonNull::new(bytes)?;
        // SAFETY: the plugin lends the bytes until it has taken the completion, which it does before
        // the chain is closed.
        (length < u32::MAX as usize)
            .then(|| unsafe { Segment::foreign(start, length, std::ptr::null_mut(), 0, keep) })
    };
    let request = match operation {
        FILE_CREATE => Some(Request::Create { file }),
        FILE_WRITE => memory().map(|memory| {
            let data = memory.freeze(length);
            Request::Write { file, offset, data }
        }),
        FILE_READ => memory().map(|into| Request::Read { file, offset, length, into }),
        FILE_SYNC => Some(Request::Sync { file }),
        FILE_DELETE => Some(Request::Delete { file }),
        _ => None,
    };
    let (Some(request), Some(mut files)) = (request, state.files()) else { return FAILED };
    match files.storage.submit(token, request) {
        Ok(()) => OK,
        Err(_) => FAILED,
    }
}

pub(super) unsafe extern "C" fn completion(
    lender: *mut c_void,
    waits: u32,
    done: *mut FileCompletion,
    errors: BytesSink,
) -> Status {
    // SAFETY: the plugin passes the lender that it was given, while the chain is open.
    let state = unsafe { state(lender) };
    let Some(mut files) = state.files() else { return FAILED };
    let completed = match waits {
        0 => files.storage.poll(),
        _ => files.storage.wait(),
    };
    let Some(completed) = completed else { return OK };
    let status = match &completed.result {
        Ok(()) => OK,
        Err(error) => {
            let text = error.to_string();
            let lent = lend_str(&text);
            let lent = BorrowedBytes { start: lent.start, length: lent.length };
            // SAFETY: the plugin passed the sink for this call.
            unsafe { (errors.take)(errors.context, lent) };
            FAILED
        }
    };
    // SAFETY: the plugin lends `done` for the call.
    unsafe { done.write(FileCompletion { token: completed.token, status }) };
    1
}

/// The memory of a request is the plugin's, who keeps it.
unsafe extern "C" fn keep(_: *mut c_void, _: u64) {}

//! Files of the host, as the state of a chain uses them.

use std::{collections::HashMap, ffi::c_void, fmt, ptr};

use millstream_abi::{
    BorrowedBytes, BytesSink, COMPRESSION_LZ4, FILE_CREATE, FILE_DELETE, FILE_READ, FILE_SYNC,
    FILE_WRITE, FILES_KEPT, FILES_RESTORE, FileCompletion, FileRequest, StateHost,
};
use millstream_dataflow::chain::{Codec, FilesUse, Levels, StateFiles};
use millstream_storage::{
    BlockingStorage, Cause, Completion, FileId, Lent, Operation, Refused, Request, Storage,
    StorageError, Submit,
};

use crate::borrow;

/// The files behind `host`; `None` if there are none.
pub(super) fn open(host: StateHost) -> Option<StateFiles> {
    let budget = host.files_budget;
    let purpose = match host.files_use {
        FILES_KEPT => FilesUse::Kept { first: FileId(host.first_file) },
        FILES_RESTORE => FilesUse::Restore,
        _ => FilesUse::Scratch,
    };
    let storage = || Box::new(HostFiles { host, pending: HashMap::new() });
    let codec = |code: u32| if code == COMPRESSION_LZ4 { Codec::Lz4 } else { Codec::Plain };
    let code = host.files_compression;
    let compression = Levels { upper: codec(code & 255), bottom: codec(code >> 8) };
    (budget > 0).then(|| StateFiles { storage: storage(), budget, purpose, compression })
}

/// Files that the host has opened for one chain.
struct HostFiles {
    host: StateHost,
    /// What is in flight, by token, with the memory that the host uses meanwhile.
    pending: HashMap<u64, Pending>,
}

struct Pending {
    operation: Operation,
    place: (u64, usize),
    lent: Lent,
}

// SAFETY: the host takes these calls from any thread, one at a time, as `StateHost` says.
unsafe impl Send for HostFiles {}

impl Submit for HostFiles {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        let (operation, place, file) = (request.operation(), request.place(), request.file());
        let mut asked = FileRequest {
            token,
            operation: match operation {
                Operation::Create => FILE_CREATE,
                Operation::Write => FILE_WRITE,
                Operation::Read => FILE_READ,
                Operation::Sync => FILE_SYNC,
                Operation::Delete => FILE_DELETE,
            },
            file: file.0,
            offset: place.0,
            length: place.1,
            bytes: ptr::null_mut(),
        };
        let mut request = request;
        match &mut request {
            // The host only reads them.
            Request::Write { data, .. } => asked.bytes = data.as_ptr().cast_mut(),
            Request::Read { into, .. } => asked.bytes = into.as_mut_ptr(),
            _ => {}
        }
        // SAFETY: the lender is good while the chain is open, whose state this is part of; what the
        // request lends is kept in `pending` until its completion was taken.
        let status = unsafe { (self.host.submit)(self.host.lender, &raw const asked) };
        if status < 0 {
            return Err(Refused { request });
        }
        self.pending.insert(token, Pending { operation, place, lent: request.into_lent() });
        Ok(())
    }
}

impl HostFiles {
    fn take(&mut self, waits: bool) -> Option<Completion> {
        let mut done = FileCompletion { token: 0, status: 0 };
        let mut text = String::new();
        let errors = BytesSink { context: (&raw mut text).cast(), take: take_text };
        let (lender, waits) = (self.host.lender, u32::from(waits));
        // SAFETY: the lender is good while the chain is open, whose state this is part of; `done` and
        // `errors` outlive the call.
        let status = unsafe { (self.host.completion)(lender, waits, &raw mut done, errors) };
        if status <= 0 {
            return None;
        }
        let FileCompletion { token, status } = done;
        // A completion that nobody waits for is a mistake of the host without consequence.
        let Pending { operation, place, lent } = self.pending.remove(&token)?;
        let failed = || StorageError {
            operation,
            path: String::new(),
            offset: place.0,
            length: place.1,
            cause: Cause::Told { text },
        };
        let result = if status < 0 { Err(failed()) } else { Ok(()) };
        Some(Completion { token, lent, result })
    }
}

impl Storage for HostFiles {
    fn poll(&mut self) -> Option<Completion> {
        match self.pending.is_empty() {
            true => None,
            false => self.take(false),
        }
    }

    fn in_flight(&self) -> usize {
        self.pending.len()
    }
}

impl BlockingStorage for HostFiles {
    fn wait(&mut self) -> Option<Completion> {
        match self.pending.is_empty() {
            true => None,
            false => self.take(true),
        }
    }
}

impl Drop for HostFiles {
    fn drop(&mut self) {
        // The host uses the memory that is in `pending`.
        while self.wait().is_some() {}
    }
}

impl fmt::Debug for HostFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostFiles({} in flight)", self.pending.len())
    }
}

unsafe extern "C" fn take_text(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: the context is the text of a call that is running on this thread, and the host lends
    // the bytes for this call.
    let (text, bytes) = unsafe { (&mut *context.cast::<String>(), borrow::bytes(bytes)) };
    *text = String::from_utf8_lossy(bytes).into_owned();
}

//! Running a chain that lives in a plugin.

use std::{ffi::c_void, ptr, sync::Arc};

use millstream_abi::{
    BorrowedBytes, BytesSink, ChainHost, DONE, FAILED, FilledPage, IDLE, LentSegment, MORE, OK,
    SIGNAL_ACTIVE, SIGNAL_BARRIER, SIGNAL_IDLE, SIGNAL_LAST_SPLIT, SIGNAL_SPLIT_BEGINS,
    SIGNAL_TIME, SIGNAL_WATERMARK, Status,
};
use millstream_data::page::ValidPage;
use millstream_dataflow::{
    Chain, Context, Lease, TaskError,
    chain::{PageInfo, Produced, Signal},
};
use millstream_exchange::event::{Event, Purpose, StreamStatus};
use millstream_memory::{Segment, lend::LendTable};

use crate::{
    CallError,
    call::{Handle, append, lend_bytes, lend_str, status},
    job::Inner,
    state::LentState,
};

/// Segments that one chain may hold at once: a page for each subpartition, with room to spare.
const LENT_MAX: usize = 1 << 20;

/// A chain of a plugin, as the engine runs it.
pub(crate) struct PluginChain {
    job: Arc<Inner>,
    handle: Handle,
    /// The segments that the chain holds. Boxed: the plugin knows its address.
    lent: Box<LendTable<Segment>>,
    /// What its state is in, which the plugin knows the address of, too.
    _state: Option<Box<LentState>>,
}

impl PluginChain {
    /// The chain of `handle`, which was told of `state` when it was opened.
    pub(crate) fn new(job: Arc<Inner>, handle: Handle, state: Option<Box<LentState>>) -> Self {
        Self { job, handle, lent: Box::new(LendTable::new(LENT_MAX)), _state: state }
    }

    /// Calls the plugin about the chain's state.
    fn call_state(
        &mut self,
        call: impl FnOnce(*mut c_void, BytesSink) -> Status,
    ) -> Result<Status, TaskError> {
        let handle = self.handle.0.as_ptr();
        Ok(status(&self.job.name, |errors| call(handle, errors))?)
    }

    /// Calls the plugin with a host that serves it from `context`.
    fn call(
        &mut self,
        context: &mut Context<'_>,
        call: impl FnOnce(*mut c_void, *const ChainHost, BytesSink) -> Status,
    ) -> Option<Status> {
        let (now, time) = (context.now(), context.time());
        // The call's frame lives on this stack; the lifetime ends with the call.
        let mut frame = Frame { context: ptr::from_mut(context).cast(), lent: &*self.lent };
        let host = ChainHost {
            size: size_of::<ChainHost>() as u32,
            context: (&raw mut frame).cast(),
            now,
            lease,
            lease_jumbo,
            submit,
            event,
            wants_flush,
            lender: ptr::from_ref(&*self.lent).cast_mut().cast(),
            release,
            time,
            wake_at,
        };
        let handle = self.handle.0.as_ptr();
        match status(&self.job.name, |errors| call(handle, &raw const host, errors)) {
            Ok(status) => Some(status),
            Err(error) => {
                context.fail(TaskError::from(error));
                None
            }
        }
    }
}

impl Chain for PluginChain {
    fn process(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let process = self.job.table.process;
        let mut next = start as u32;
        let done = self.call(context, |chain, host, errors| {
            let (page, next) = (lend_bytes(page.bytes()), &raw mut next);
            // SAFETY: the chain is open and used by one thread; host, page and next outlive the
            // call.
            unsafe { process(chain, host, u32::from(input), page, start as u32, next, errors) }
        });
        let next = next as usize;
        if done.is_some() && !(start..=page.rows()).contains(&next) {
            let what = format!("{}: claims to have processed row {next}", self.job.name);
            context.fail(TaskError::from(CallError::new(what)));
            return start;
        }
        next
    }

    fn produce(&mut self, rows: usize, context: &mut Context<'_>) -> Produced {
        let produce = self.job.table.produce;
        let mut until = 0;
        let result = self.call(context, |chain, host, errors| {
            // SAFETY: the chain is open and used by one thread; host and `until` outlive the call.
            unsafe { produce(chain, host, rows as u32, &raw mut until, errors) }
        });
        match result {
            Some(DONE) => Produced::Finished,
            Some(IDLE) => Produced::Until(until),
            _ => Produced::More,
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        let finish = self.job.table.finish;
        // SAFETY: the chain is open and used by one thread, and the host outlives the call.
        let call = |chain, host, errors| unsafe { finish(chain, host, errors) };
        self.call(context, call) == Some(DONE)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        let table_signal = self.job.table.signal;
        let (kind, time) = match signal {
            Signal::Watermark(time) => (SIGNAL_WATERMARK, time),
            Signal::Idle => (SIGNAL_IDLE, 0),
            Signal::Active => (SIGNAL_ACTIVE, 0),
            Signal::SplitBegins => (SIGNAL_SPLIT_BEGINS, 0),
            Signal::LastSplit => (SIGNAL_LAST_SPLIT, 0),
            Signal::Barrier => (SIGNAL_BARRIER, 0),
            Signal::Time(time) => (SIGNAL_TIME, time),
            // Only operators within a chain say so.
            Signal::Late => return true,
        };
        // SAFETY: the chain is open and used by one thread, and the host outlives the call.
        let call = |chain, host, errors| unsafe { table_signal(chain, host, kind, time, errors) };
        self.call(context, call) == Some(DONE)
    }

    fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), TaskError> {
        let begin = self.job.table.begin_snapshot;
        let canonical = u32::from(purpose != Purpose::Checkpoint);
        // SAFETY: the chain is open and used by one thread.
        self.call_state(|chain, errors| unsafe { begin(chain, canonical, errors) }).map(|_| ())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        let next = self.job.table.next_chunk;
        let chunk = append(out);
        // SAFETY: the chain is open and used by one thread, and `out` outlives the call.
        let more = self.call_state(|chain, errors| unsafe { next(chain, chunk, errors) })?;
        Ok(more == MORE)
    }

    fn abort_snapshot(&mut self) {
        let abort = self.job.table.abort_snapshot;
        // SAFETY: the chain is open and used by one thread. A chain that cannot abort fails the next
        // snapshot.
        let _ = self.call_state(|chain, errors| unsafe { abort(chain, errors) });
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let (restore, chunks) = (self.job.table.restore, lend_bytes(chunks));
        // SAFETY: the chain is open and used by one thread, and the chunks outlive the call.
        self.call_state(|chain, errors| unsafe { restore(chain, chunks, errors) }).map(|_| ())
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        let flush = self.job.table.flush;
        // SAFETY: the chain is open and used by one thread, and the host outlives the call.
        let call = |chain, host, errors| unsafe { flush(chain, host, u32::from(force), errors) };
        self.call(context, call);
    }
}

impl Drop for PluginChain {
    fn drop(&mut self) {
        // SAFETY: the chain is open and not used again. It gives its segments back to `lent`, which
        // is dropped after this.
        unsafe { (self.job.table.close_chain)(self.handle.0.as_ptr()) }
    }
}

/// What the functions of the host need, during one call.
struct Frame {
    /// The `Context` of the call; a pointer, since its lifetimes cannot be named here.
    context: *mut c_void,
    lent: *const LendTable<Segment>,
}

/// # Safety
/// `context` is the frame of a call that is running on this thread.
unsafe fn frame<'a>(context: *mut c_void) -> (&'a mut Context<'a>, &'a LendTable<Segment>) {
    // SAFETY: the caller's promise: the frame, and the context and table in it, are valid until the
    // plugin's call returns, and the engine does not touch the context meanwhile.
    unsafe {
        let frame = &*context.cast::<Frame>();
        (&mut *frame.context.cast::<Context<'a>>(), &*frame.lent)
    }
}

unsafe extern "C" fn lease(
    context: *mut c_void,
    output: u32,
    subpartition: u32,
    lent: *mut LentSegment,
    errors: BytesSink,
) -> Status {
    // SAFETY: the plugin passes the context of the running call.
    let (context, table) = unsafe { frame(context) };
    let leased = context.lease(output as u16, subpartition);
    // SAFETY: the plugin lends `lent` for the call.
    unsafe { lend(table, leased, lent, errors) }
}

unsafe extern "C" fn lease_jumbo(
    context: *mut c_void,
    output: u32,
    bytes: usize,
    lent: *mut LentSegment,
    errors: BytesSink,
) -> Status {
    // SAFETY: the plugin passes the context of the running call.
    let (context, table) = unsafe { frame(context) };
    let segment = context.lease_jumbo(output as u16, bytes);
    let leased = segment.map(|segment| Lease { segment, page_bytes: u32::MAX });
    // SAFETY: the plugin lends `lent` for the call.
    unsafe { lend(table, leased, lent, errors) }
}

/// # Safety
/// `lent` is writable.
unsafe fn lend(
    table: &LendTable<Segment>,
    leased: Option<Lease>,
    lent: *mut LentSegment,
    errors: BytesSink,
) -> Status {
    let Some(Lease { mut segment, page_bytes }) = leased else {
        return refuse(errors, "the engine has no segment to lend");
    };
    let (start, length) = (segment.as_mut_ptr(), segment.len());
    match table.lend(segment) {
        // SAFETY: the caller's promise.
        Ok(token) => unsafe { lent.write(LentSegment { start, length, token, page_bytes }) },
        Err(_) => return refuse(errors, "the chain holds too many segments"),
    }
    OK
}

fn refuse(errors: BytesSink, reason: &str) -> Status {
    let text = lend_str(reason);
    let bytes = BorrowedBytes { start: text.start, length: text.length };
    // SAFETY: the plugin passed the sink for this call.
    unsafe { (errors.take)(errors.context, bytes) };
    FAILED
}

unsafe extern "C" fn submit(
    context: *mut c_void,
    output: u32,
    subpartition: u32,
    token: u64,
    page: FilledPage,
) -> Status {
    // SAFETY: the plugin passes the context of the running call.
    let (context, table) = unsafe { frame(context) };
    let segment = match table.take_back(token) {
        Ok(segment) if page.length as usize <= segment.len() => segment,
        _ => {
            context.fail(TaskError::new("the chain submitted a page that it does not hold"));
            return FAILED;
        }
    };
    let info = PageInfo { length: page.length, rows: page.rows };
    context.submit(output as u16, subpartition, segment, info);
    i32::from(!context.is_blocked())
}

unsafe extern "C" fn event(
    context: *mut c_void,
    output: u32,
    subpartition: u32,
    signal: u32,
    time: i64,
) {
    // SAFETY: the plugin passes the context of the running call.
    let (context, _) = unsafe { frame(context) };
    let event = match signal {
        SIGNAL_WATERMARK => Event::Watermark(time),
        SIGNAL_IDLE => Event::Status(StreamStatus::Idle),
        SIGNAL_ACTIVE => Event::Status(StreamStatus::Active),
        _ => {
            context
                .fail(TaskError::new(format!("the chain sent event {signal}, which there is not")));
            return;
        }
    };
    context.event(output as u16, subpartition, event);
}

unsafe extern "C" fn wants_flush(context: *mut c_void, output: u32, subpartition: u32) -> Status {
    // SAFETY: the plugin passes the context of the running call.
    let (context, _) = unsafe { frame(context) };
    i32::from(context.wants_flush(output as u16, subpartition))
}

unsafe extern "C" fn wake_at(context: *mut c_void, time: i64) {
    // SAFETY: the plugin passes the context of the running call.
    let (context, _) = unsafe { frame(context) };
    context.wake_at(time);
}

unsafe extern "C" fn release(lender: *mut c_void, token: u64) {
    // SAFETY: the lender is the table of a chain that is open; the plugin calls while it is.
    let table = unsafe { &*lender.cast::<LendTable<Segment>>() };
    // A token that is not good is a plugin's mistake without consequence: the segment is either
    // back already, or given back when the chain is closed.
    drop(table.take_back(token));
}

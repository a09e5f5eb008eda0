//! Compiled jobs: programs of the typed API.

use std::{ffi::c_void, marker::PhantomData, mem, ptr::NonNull, slice};

use millstream_abi::{
    BLOCKED, BorrowedBytes, BorrowedOptions, BytesSink, ChainHost, ChainInfo, DONE, FilledPage,
    IDLE, JobTable, LentSegment, MORE, OK, SIGNAL_ACTIVE, SIGNAL_BARRIER, SIGNAL_IDLE,
    SIGNAL_LAST_SPLIT, SIGNAL_SPLIT_BEGINS, SIGNAL_TIME, SIGNAL_WATERMARK, Status, VERSION,
};
use millstream_data::page::ValidPage;
use millstream_dataflow::{
    Chain, ChainIo, Context, Environment, Lease, OpenInfo, TaskError,
    chain::{OutputInfo, PageInfo, Produced, Signal},
    stream::Program,
};
use millstream_exchange::event::{Event, Purpose, StreamStatus};
use millstream_memory::Segment;

use crate::{
    Error, borrow,
    memory::HostMemory,
    options::{OptionDoc, Options},
    thunk,
};

/// A program that is compiled into a library and run by `millstream run`.
pub trait Job: 'static {
    /// The job's name.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// The options that it takes, as `--name value` on the command line.
    const OPTIONS: &'static [OptionDoc];

    /// Writes the program down. Every worker process calls it with the same options, and must get
    /// the same program.
    ///
    /// # Errors
    /// If the options do not fit.
    fn build(env: &Environment, options: &Options) -> Result<(), Error>;
}

/// The table of a job.
pub(crate) struct Thunks<J>(PhantomData<J>);

impl<J: Job> Thunks<J> {
    pub(crate) const TABLE: JobTable = JobTable {
        size: mem::size_of::<JobTable>() as u32,
        version: VERSION,
        open: open::<J>,
        describe,
        open_chain,
        open_writer,
        process,
        produce,
        finish,
        signal,
        begin_snapshot,
        next_chunk,
        abort_snapshot,
        restore,
        flush,
        close_chain,
        close,
    };
}

type OpenChain = Box<dyn Chain>;

unsafe extern "C" fn open<J: Job>(options: BorrowedOptions, errors: BytesSink) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host lends the options for the call.
        let options = unsafe { borrow::options(options)? };
        let env = Environment::new(J::NAME);
        J::build(&env, &Options::new(J::OPTIONS, options))?;
        Ok(Box::new(env.build()))
    })
}

unsafe extern "C" fn describe(job: *mut c_void, graph: BytesSink, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave.
        let program = unsafe { thunk::shared::<Program>(job)? };
        thunk::give(graph, &program.graph().encode());
        Ok(OK)
    })
}

unsafe extern "C" fn open_chain(
    job: *mut c_void,
    node: u32,
    info: *const ChainInfo,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host passes what `open` gave, and lends the info for the call.
        let (program, info) = unsafe { (thunk::shared::<Program>(job)?, &*info) };
        // SAFETY: as above.
        Ok(Box::new(program.chain(node, &unsafe { open_info(info) })?))
    })
}

unsafe extern "C" fn open_writer(
    job: *mut c_void,
    node: u32,
    output: u32,
    info: *const ChainInfo,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host passes what `open` gave, and lends the info for the call.
        let (program, info) = unsafe { (thunk::shared::<Program>(job)?, &*info) };
        // SAFETY: as above.
        Ok(Box::new(program.writer(node, output as u16, &unsafe { open_info(info) })?))
    })
}

/// What the host says of a chain.
///
/// # Safety
/// The host lends what `info` points to for the call, and what is in the state's table as long as the
/// chain is open.
unsafe fn open_info(info: &ChainInfo) -> OpenInfo {
    let outputs = match info.outputs_length {
        0 => &[],
        // SAFETY: the host lends as many outputs as it says.
        length => unsafe { slice::from_raw_parts(info.outputs, length) },
    };
    let output = |output: &millstream_abi::OutputInfo| OutputInfo {
        subpartitions: output.subpartitions,
        max_parallelism: output.max_parallelism,
        compact: output.compact != 0,
    };
    OpenInfo {
        subtask: info.subtask.subtask,
        parallelism: info.subtask.parallelism,
        max_parallelism: info.max_parallelism,
        // SAFETY: the host lends the state's table for the call; what is in it is good as long as
        // the chain is open.
        state: unsafe { info.state.as_ref() }.map(|host| HostMemory::shared(*host)),
        segment_size: info.subtask.segment_size,
        outputs: outputs.iter().map(output).collect(),
    }
}

/// Calls a chain within a context whose requests go to the host.
///
/// # Safety
/// `chain` came from `open_chain` and is open, and `host` is valid during the call.
unsafe fn call<R>(
    chain: *mut c_void,
    host: *const ChainHost,
    call: impl FnOnce(&mut dyn Chain, &mut Context<'_>) -> R,
) -> Result<R, Error> {
    // SAFETY: the caller's promise.
    let (chain, host) = unsafe { (thunk::exclusive::<OpenChain>(chain)?, &*host) };
    let mut io = HostIo { host, ready: true };
    let mut context = Context::new(&mut io);
    let result = call(&mut **chain, &mut context);
    match context.take_error() {
        Some(error) => Err(error.into()),
        None => Ok(result),
    }
}

unsafe extern "C" fn process(
    chain: *mut c_void,
    host: *const ChainHost,
    input: u32,
    page: BorrowedBytes,
    start: u32,
    next: *mut u32,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host lends the page for the call. It is valid: the host has checked it.
        let page = unsafe { borrow::bytes(page) };
        let page = ValidPage::trusted(page).map_err(|error| Error::new(error.to_string()))?;
        // SAFETY: the host passes what `open_chain` gave and itself.
        let row = unsafe {
            call(chain, host, |chain, context| {
                chain.process(input as u16, &page, start as usize, context)
            })?
        };
        // SAFETY: the host lends `next` for the call.
        unsafe { *next = row as u32 };
        Ok(OK)
    })
}

unsafe extern "C" fn produce(
    chain: *mut c_void,
    host: *const ChainHost,
    rows: u32,
    until: *mut u64,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_chain` gave and itself.
        let produced =
            unsafe { call(chain, host, |chain, context| chain.produce(rows as usize, context))? };
        Ok(match produced {
            Produced::More => MORE,
            Produced::Until(at) => {
                // SAFETY: the host lends `until` for the call.
                unsafe { *until = at };
                IDLE
            }
            Produced::Finished => DONE,
        })
    })
}

unsafe extern "C" fn finish(
    chain: *mut c_void,
    host: *const ChainHost,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_chain` gave and itself.
        let done = unsafe { call(chain, host, |chain, context| chain.finish(context))? };
        Ok(if done { DONE } else { BLOCKED })
    })
}

unsafe extern "C" fn signal(
    chain: *mut c_void,
    host: *const ChainHost,
    signal: u32,
    time: i64,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        let signal = match signal {
            SIGNAL_WATERMARK => Signal::Watermark(time),
            SIGNAL_IDLE => Signal::Idle,
            SIGNAL_ACTIVE => Signal::Active,
            SIGNAL_SPLIT_BEGINS => Signal::SplitBegins,
            SIGNAL_LAST_SPLIT => Signal::LastSplit,
            SIGNAL_BARRIER => Signal::Barrier,
            SIGNAL_TIME => Signal::Time(time),
            // A newer host may have signals that mean nothing to this chain.
            _ => return Ok(DONE),
        };
        // SAFETY: the host passes what `open_chain` gave and itself.
        let done = unsafe { call(chain, host, |chain, context| chain.signal(signal, context))? };
        Ok(if done { DONE } else { BLOCKED })
    })
}

unsafe extern "C" fn begin_snapshot(
    chain: *mut c_void,
    canonical: u32,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        let purpose = if canonical == 0 { Purpose::Checkpoint } else { Purpose::Savepoint };
        // SAFETY: the host passes what `open_chain` gave.
        unsafe { thunk::exclusive::<OpenChain>(chain)? }.begin_snapshot(purpose)?;
        Ok(OK)
    })
}

unsafe extern "C" fn next_chunk(chain: *mut c_void, sink: BytesSink, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        let mut chunk = Vec::new();
        // SAFETY: the host passes what `open_chain` gave.
        let more = unsafe { thunk::exclusive::<OpenChain>(chain)? }.next_chunk(&mut chunk)?;
        thunk::give(sink, &chunk);
        Ok(if more { MORE } else { DONE })
    })
}

unsafe extern "C" fn abort_snapshot(chain: *mut c_void, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_chain` gave.
        unsafe { thunk::exclusive::<OpenChain>(chain)? }.abort_snapshot();
        Ok(OK)
    })
}

unsafe extern "C" fn restore(
    chain: *mut c_void,
    chunks: BorrowedBytes,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_chain` gave, and lends the chunks for the call.
        let (chain, chunks) =
            unsafe { (thunk::exclusive::<OpenChain>(chain)?, borrow::bytes(chunks)) };
        chain.restore(chunks)?;
        Ok(OK)
    })
}

unsafe extern "C" fn flush(
    chain: *mut c_void,
    host: *const ChainHost,
    force: u32,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_chain` gave and itself.
        unsafe { call(chain, host, |chain, context| chain.flush(force != 0, context))? };
        Ok(OK)
    })
}

unsafe extern "C" fn close_chain(chain: *mut c_void) {
    // SAFETY: the host passes what `open_chain` gave, for the last time.
    unsafe { thunk::close::<OpenChain>(chain) }
}

unsafe extern "C" fn close(job: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<Program>(job) }
}

/// The host, as a chain asks it for segments and gives it pages.
struct HostIo<'a> {
    host: &'a ChainHost,
    ready: bool,
}

impl HostIo<'_> {
    /// Makes a segment of what the host lends.
    fn borrow(
        &mut self,
        call: impl FnOnce(&ChainHost, *mut LentSegment, BytesSink) -> Status,
    ) -> Result<Lease, TaskError> {
        let mut lent =
            LentSegment { start: std::ptr::null_mut(), length: 0, token: 0, page_bytes: u32::MAX };
        let mut reason = String::new();
        let errors = BytesSink { context: (&raw mut reason).cast(), take: take_reason };
        let status = call(self.host, &raw mut lent, errors);
        let start = NonNull::new(lent.start).filter(|_| status >= 0);
        let start = start.ok_or_else(|| TaskError::new(reason))?;
        let (lender, release) = (self.host.lender, self.host.release);
        // SAFETY: the host lends so many initialised bytes for this chain alone, and takes the
        // token back from any thread while the chain is open; the segment is part of the chain.
        let segment = unsafe { Segment::foreign(start, lent.length, lender, lent.token, release) };
        Ok(Lease { segment, page_bytes: lent.page_bytes })
    }
}

impl ChainIo for HostIo<'_> {
    fn now(&self) -> u64 {
        self.host.now
    }

    fn time(&self) -> i64 {
        self.host.time
    }

    fn wake_at(&mut self, time: i64) {
        // SAFETY: the host is valid during the call.
        unsafe { (self.host.wake_at)(self.host.context, time) }
    }

    fn lease(&mut self, output: u16, subpartition: u32) -> Result<Lease, TaskError> {
        self.borrow(|host, lent, errors| {
            // SAFETY: the host is valid during the call; `lent` and `errors` outlive it.
            unsafe { (host.lease)(host.context, u32::from(output), subpartition, lent, errors) }
        })
    }

    fn lease_jumbo(&mut self, output: u16, bytes: usize) -> Result<Segment, TaskError> {
        self.borrow(|host, lent, errors| {
            // SAFETY: the host is valid during the call; `lent` and `errors` outlive it.
            unsafe { (host.lease_jumbo)(host.context, u32::from(output), bytes, lent, errors) }
        })
        .map(|leased| leased.segment)
    }

    fn submit(&mut self, output: u16, subpartition: u32, segment: Segment, page: PageInfo) {
        // Every segment of a chain was lent by the host.
        let Ok(token) = segment.into_token() else { return };
        let page = FilledPage { length: page.length, rows: page.rows };
        // SAFETY: the host is valid during the call, and the token is one that it lent.
        let status = unsafe {
            (self.host.submit)(self.host.context, u32::from(output), subpartition, token, page)
        };
        self.ready = status == 1;
    }

    fn event(&mut self, output: u16, subpartition: u32, event: Event) {
        let (signal, time) = match event {
            Event::Watermark(time) => (SIGNAL_WATERMARK, time),
            Event::Status(StreamStatus::Idle) => (SIGNAL_IDLE, 0),
            Event::Status(StreamStatus::Active) => (SIGNAL_ACTIVE, 0),
            // Chains say nothing else.
            _ => return,
        };
        let Self { host, .. } = self;
        // SAFETY: the host is valid during the call.
        unsafe { (host.event)(host.context, u32::from(output), subpartition, signal, time) }
    }

    fn ready(&mut self) -> bool {
        self.ready
    }

    fn wants_flush(&mut self, output: u16, subpartition: u32) -> bool {
        // SAFETY: the host is valid during the call.
        let status =
            unsafe { (self.host.wants_flush)(self.host.context, u32::from(output), subpartition) };
        status == 1
    }
}

unsafe extern "C" fn take_reason(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: `lease` passes its own string, and the host lends the bytes for the call.
    let (reason, bytes) = unsafe { (&mut *context.cast::<String>(), borrow::bytes(bytes)) };
    *reason = String::from_utf8_lossy(bytes).into_owned();
}

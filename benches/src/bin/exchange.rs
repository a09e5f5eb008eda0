//! Exchange between two processes over loopback, one connection, 32 KiB segments by default.
//!
//! Opponents: bare loops that move the same bytes: blocking write and read, io_uring send, and
//! SEND_ZC linked by eight. Every receiver reads every byte once. Senders send the same few pages
//! over and over, ours included.
//!
//! `exchange [GIB] [ROUNDS] [SEGMENT_KIB]` prints GB/s, processor seconds a GB of both processes, and
//! ratios; `exchange NAME GIB SEGMENT_KIB` runs one of them alone; `exchange curve [GIB] [ROUNDS]`
//! prints what ours reach with segments of 4 KiB to 1 MiB, and what two workers of one process do.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Child, Command, Stdio},
    sync::Arc,
    task::Waker,
};

use io_uring::{IoUring, opcode, types};
use millstream::cluster::{Preference, Transport};
use millstream_benches::{cpu_seconds, machine_seconds, measure, median};
use millstream_data::{
    Value,
    page::{PageBuilder, Shape, Sizing},
    value::Record,
};
use millstream_dataflow::{
    TaskError,
    channel::{Element, PAGES_PER_SUBPARTITION_MAX, Receiver, Sender, channel, returning_channel},
    task::{TaskMetrics, TaskPoll},
};
use millstream_exchange::{
    PartitionId, WorkerId,
    event::Event,
    frame::{Hello, Request},
};
use millstream_executor::{ExecutorBackend, Poll, ThreadPerCore};
use millstream_memory::{Buffer, JumboBudget, NetworkPool};
use millstream_net::{InletConfig, Link, LinkConfig, ZeroCopy, choose};
use millstream_segments::MmapArena;

type Row = (u64, u64);

/// What moves the bytes.
const CONTESTANTS: [&str; 7] = [
    "write/read",
    "uring send",
    "uring send_zc x8",
    "uring send_zc x8, memory not registered",
    "millstream tcp",
    "millstream uring",
    "millstream uring zc",
];

/// The first of them are bare loops.
const BARE: usize = 4;

/// Those of the curve over segment sizes.
const CURVE: [&str; 4] =
    ["millstream local", "millstream tcp", "millstream uring", "millstream uring zc"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "curve") {
        let numbers: Vec<u64> = arguments[1..].iter().map(|text| number(text)).collect();
        let total = numbers.first().copied().unwrap_or(2) << 30;
        return curve(total, numbers.get(1).copied().unwrap_or(3));
    }
    if arguments.first().is_some_and(|first| first == "receive") {
        return receive(&arguments[1], &arguments[2], number(&arguments[3]), number(&arguments[4]));
    }
    if let [only, gib, segment] = &arguments[..]
        && CONTESTANTS.contains(&only.as_str())
    {
        let Run { rate, cost, machine } = run(only, number(gib) << 30, number(segment) << 10);
        return println!("{only}: {rate:.2} GB/s, {cost:.3} CPU-s/GB, whole machine {machine:.3}");
    }
    let numbers: Vec<u64> = arguments.iter().map(|text| number(text)).collect();
    let total = numbers.first().copied().unwrap_or(8) << 30;
    let rounds = numbers.get(1).copied().unwrap_or(3);
    let segment = numbers.get(2).copied().unwrap_or(32) << 10;
    let mut results = vec![Vec::new(); CONTESTANTS.len()];
    for _ in 0..rounds {
        for (contestant, runs) in CONTESTANTS.iter().zip(&mut results) {
            runs.push(run(contestant, total, segment));
        }
    }
    let medians: Vec<Run> = results.iter().map(|runs| Run::median(runs)).collect();
    let pair = medians[0].rate;
    let best = medians[..BARE].iter().map(|run| run.rate).fold(0.0, f64::max);
    for (contestant, Run { rate, cost, machine }) in CONTESTANTS.iter().zip(&medians) {
        println!(
            "{} KiB, {contestant}: {rate:.2} GB/s, {cost:.3} CPU-s/GB, whole machine {machine:.3}, \
             {:.2} of write/read, {:.2} of the best bare loop",
            segment >> 10,
            rate / pair,
            rate / best
        );
    }
}

/// GB/s and processor seconds a GB by segment size.
fn curve(total: u64, rounds: u64) {
    println!("| KiB | {} |", CURVE.join(" | "));
    for kib in [4, 8, 16, 32, 64, 128, 256, 512, 1024] {
        let cells = CURVE.map(|contestant| {
            let runs: Vec<Run> = (0..rounds).map(|_| run(contestant, total, kib << 10)).collect();
            let Run { rate, cost, .. } = Run::median(&runs);
            format!("{rate:.2} GB/s, {cost:.3}")
        });
        println!("| {kib} | {} |", cells.join(" | "));
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// What one run, or the median of several, came to.
#[derive(Clone, Copy)]
struct Run {
    /// GB/s.
    rate: f64,
    /// Processor seconds a GB, of both processes.
    cost: f64,
    /// The same, of the whole machine.
    machine: f64,
}

impl Run {
    fn median(runs: &[Self]) -> Self {
        let of = |number: fn(&Self) -> f64| median(runs.iter().map(number));
        Self { rate: of(|run| run.rate), cost: of(|run| run.cost), machine: of(|run| run.machine) }
    }
}

/// Sends from this process to a child.
fn run(contestant: &str, total: u64, segment: u64) -> Run {
    let before = machine_seconds();
    let (rate, cost) = send_to_child(contestant, total, segment);
    let machine = (machine_seconds() - before) / (total as f64 / 1e9);
    Run { rate, cost, machine }
}

fn send_to_child(contestant: &str, total: u64, segment: u64) -> (f64, f64) {
    let bytes = total as f64 / 1e9;
    if contestant == "millstream local" {
        let ((), cost) = measure(|| local(total, segment));
        return (bytes / cost.wall, cost.cpu / bytes);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["receive", contestant, &port.to_string(), &total.to_string(), &segment.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let (stream, _) = listener.accept().expect("the child connects");
    stream.set_nodelay(true).expect("an option");
    let ((), cost) = measure(|| {
        match contestant {
            "write/read" => send_blocking(stream, total, segment),
            "uring send" => send_uring(&stream, total, segment, SendWith::Copy),
            "uring send_zc x8" => send_uring(&stream, total, segment, SendWith::Registered),
            "uring send_zc x8, memory not registered" => {
                send_uring(&stream, total, segment, SendWith::Unregistered);
            }
            _ => link(contestant, stream, total, segment, true),
        }
        child.wait().expect("the child ends");
    });
    (bytes / cost.wall, (cost.cpu + child_cpu(&mut child)) / bytes)
}

/// What the child printed: its processor seconds.
fn child_cpu(child: &mut Child) -> f64 {
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    text.trim().parse().expect("seconds")
}

fn receive(contestant: &str, port: &str, total: u64, segment: u64) {
    let port = port.parse::<u16>().expect("a port");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the parent listens");
    stream.set_nodelay(true).expect("an option");
    match contestant {
        "write/read" => receive_blocking(stream, total, segment),
        name if name.starts_with("uring") => receive_uring(&stream, total, segment),
        _ => link(contestant, stream, total, segment, false),
    }
    println!("{}", cpu_seconds());
}

/// Reads every byte.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word))
}

fn send_blocking(mut stream: TcpStream, total: u64, segment: u64) {
    let buffer = vec![7u8; segment as usize];
    for _ in 0..total / segment {
        stream.write_all(&buffer).expect("the child reads");
    }
}

fn receive_blocking(mut stream: TcpStream, total: u64, segment: u64) {
    let mut buffer = vec![0u8; segment as usize];
    let (mut received, mut all) = (0, 0);
    while received < total {
        let read = stream.read(&mut buffer).expect("the parent writes");
        assert!(read > 0);
        all ^= sum(&buffer[..read]);
        received += read as u64;
    }
    std::hint::black_box(all);
}

fn ring() -> IoUring {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun();
    builder.build(256).expect("a ring")
}

/// How a bare loop over io_uring sends.
#[derive(Clone, Copy, PartialEq)]
enum SendWith {
    Copy,
    /// `SEND_ZC` from memory whose pages the kernel knows.
    Registered,
    /// `SEND_ZC` from memory whose pages it looks up for each operation.
    Unregistered,
}

fn send_uring(stream: &TcpStream, total: u64, segment: u64, with: SendWith) {
    const LINKED: usize = 8;
    let mut ring = ring();
    let buffers: Vec<Vec<u8>> = (0..LINKED).map(|_| vec![7u8; segment as usize]).collect();
    if with == SendWith::Registered {
        let slices: Vec<libc::iovec> = buffers
            .iter()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_ptr().cast_mut().cast(),
                iov_len: buffer.len(),
            })
            .collect();
        // SAFETY: the buffers outlive the ring's use of them.
        unsafe { ring.submitter().register_buffers(&slices).expect("registered buffers") };
    }
    let file = types::Fd(stream.as_raw_fd());
    let mut sent = 0;
    while sent < total {
        for (index, buffer) in buffers.iter().enumerate() {
            let (start, length) = (buffer.as_ptr(), segment as u32);
            let zero_copy = opcode::SendZc::new(file, start, length).flags(libc::MSG_WAITALL);
            let entry = match with {
                SendWith::Copy => {
                    opcode::Send::new(file, start, length).flags(libc::MSG_WAITALL).build()
                }
                SendWith::Registered => zero_copy.buf_index(Some(index as u16)).build(),
                SendWith::Unregistered => zero_copy.build(),
            };
            let last = index + 1 == LINKED;
            let flags = if last {
                io_uring::squeue::Flags::empty()
            } else {
                io_uring::squeue::Flags::IO_LINK
            };
            // SAFETY: the buffer outlives the operation, which is waited for below.
            unsafe { ring.submission().push(&entry.flags(flags)).expect("an entry") };
        }
        let mut pending = if with == SendWith::Copy { LINKED } else { 2 * LINKED };
        while pending > 0 {
            ring.submit_and_wait(1).expect("the ring");
            for completion in ring.completion() {
                assert!(completion.result() >= 0);
                if !io_uring::cqueue::notif(completion.flags()) {
                    sent += completion.result() as u64;
                }
                pending -= 1;
            }
        }
    }
}

fn receive_uring(stream: &TcpStream, total: u64, segment: u64) {
    let mut ring = ring();
    let mut buffer = vec![0u8; segment as usize];
    let (mut received, mut all) = (0, 0);
    while received < total {
        let file = types::Fd(stream.as_raw_fd());
        let entry = opcode::Recv::new(file, buffer.as_mut_ptr(), segment as u32)
            .flags(libc::MSG_WAITALL)
            .build();
        // SAFETY: the buffer outlives the operation, which is waited for.
        unsafe { ring.submission().push(&entry).expect("an entry") };
        ring.submit_and_wait(1).expect("the ring");
        let result = ring.completion().next().expect("a completion").result();
        assert!(result > 0);
        all ^= sum(&buffer[..result as usize]);
        received += result as u64;
    }
    std::hint::black_box(all);
}

/// One end of a link with one channel.
fn link(contestant: &str, stream: TcpStream, total: u64, segment: u64, sends: bool) {
    let transport = match contestant {
        "millstream tcp" => Transport::Tcp,
        _ => Transport::Uring,
    };
    let chosen = choose(Preference::Only(transport)).expect("the transport");
    let arena = MmapArena::new(segment as usize, 64).expect("memory");
    let network = NetworkPool::new(Box::new(arena));
    let shape = Arc::new(Shape::new(&Row::schema()));
    // As in the engine: the task that writes or reads pages shares a worker with the link.
    let mut executor = ThreadPerCore::new(1).executor();
    let (id, task) = (executor.reserve(0), executor.reserve(0));
    let request =
        Request { partition: PartitionId { result: 0, subtask: 0, attempt: 0 }, subpartition: 0 };
    let (mut outlets, mut inlets) = (Vec::new(), Vec::new());
    if sends {
        let (sender, receiver) = channel(executor.waker(id));
        outlets.push((request, receiver));
        let pages = pages(&network, &shape, segment as usize);
        let left = total.div_ceil(pages[0].len() as u64);
        executor.place(task, Box::new(Producer { sender, pages, left }));
    } else {
        let (sender, receiver, returned) =
            returning_channel(executor.waker(task), executor.waker(id), 64);
        inlets.push(InletConfig {
            request,
            sender,
            returned,
            shape: Arc::clone(&shape),
            exclusive: network.create_local(2, 2).expect("segments"),
            floating: network.create_local(1, 30).expect("segments"),
            jumbo: JumboBudget::new(1 << 20, 1 << 20),
        });
        executor.place(task, Box::new(Consumer { receiver, all: 0 }));
    }
    let hello = Hello {
        job: 1,
        worker: WorkerId(u32::from(sends)),
        segment_bytes: segment as u32,
        record_bytes_max: 1 << 20,
    };
    let zero_copy = match contestant.ends_with("zc") {
        true => ZeroCopy::Always,
        false => ZeroCopy::Never,
    };
    let peer = "the other end".into();
    let config = LinkConfig { peer, hello, zero_copy, queued_max: 32, outlets, inlets };
    let link = Link::new(stream, &chosen, config).expect("a link");
    executor.watch(id, link.file()).expect("a watch");
    executor.place(id, Box::new(link));
    executor.start().join().expect("the link ends well");
}

/// From one worker to another, within this process.
fn local(total: u64, segment: u64) {
    let arena = MmapArena::new(segment as usize, 16).expect("memory");
    let network = NetworkPool::new(Box::new(arena));
    let mut executor = ThreadPerCore::new(2).executor();
    let (from, to) = (executor.reserve(0), executor.reserve(1));
    let (sender, receiver) = channel(executor.waker(to));
    let pages = pages(&network, &Arc::new(Shape::new(&Row::schema())), segment as usize);
    let left = total.div_ceil(pages[0].len() as u64);
    executor.place(from, Box::new(Producer { sender, pages, left }));
    executor.place(to, Box::new(Consumer { receiver, all: 0 }));
    executor.start().join().expect("both tasks end well");
}

/// Pushes pages while there is room.
struct Producer {
    sender: Sender,
    pages: Vec<Buffer>,
    left: u64,
}

impl Poll for Producer {
    fn name(&self) -> &str {
        "producer"
    }

    fn poll(&mut self, _now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        while self.left > 0 {
            if self.sender.len() >= PAGES_PER_SUBPARTITION_MAX {
                self.sender.notify_room(waker);
                if self.sender.len() >= PAGES_PER_SUBPARTITION_MAX {
                    return Ok(TaskPoll::Backpressured);
                }
            }
            let page = self.pages[self.left as usize % self.pages.len()].clone();
            self.sender.push(Element::Page(page)).expect("there is room");
            self.left -= 1;
        }
        self.sender.push(Element::Event(Event::EndOfPartition)).expect("there is room");
        Ok(TaskPoll::Finished)
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        None
    }
}

/// Reads every byte of what arrives.
struct Consumer {
    receiver: Receiver,
    all: u64,
}

impl Poll for Consumer {
    fn name(&self) -> &str {
        "consumer"
    }

    fn poll(&mut self, _now: u64, _waker: &Waker) -> Result<TaskPoll, TaskError> {
        loop {
            match self.receiver.pop() {
                Some(Element::Page(page)) => {
                    self.all ^= sum(&page);
                    self.receiver.give_back(page);
                }
                Some(_) => {
                    std::hint::black_box(self.all);
                    return Ok(TaskPoll::Finished);
                }
                None => return Ok(TaskPoll::Idle),
            }
        }
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        None
    }
}

/// A few full pages.
fn pages(network: &NetworkPool, shape: &Arc<Shape>, segment: usize) -> Vec<Buffer> {
    let sizing = Sizing::new(Arc::clone(shape), segment).expect("a layout");
    let pool = network.create_local(8, 8).expect("segments");
    let page = |number: u64| {
        let segment = pool.request().expect("a segment");
        let mut page = PageBuilder::<Row, _>::new(segment, shape, sizing.layout());
        let mut row = 0u64;
        while page.append((number, row).view()).is_ok() {
            row += 1;
        }
        let sealed = page.seal(shape, true);
        sealed.buffer.freeze(sealed.length)
    };
    (0..8).map(page).collect()
}

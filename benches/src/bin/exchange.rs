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
use millstream_benches::{cpu_seconds, measure, median};
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
const CONTESTANTS: [&str; 6] = [
    "write/read",
    "uring send",
    "uring send_zc x8",
    "millstream tcp",
    "millstream uring",
    "millstream uring zc",
];

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
        let (rate, cost) = run(only, number(gib) << 30, number(segment) << 10);
        return println!("{only}: {rate:.2} GB/s, {cost:.3} CPU-s/GB");
    }
    let numbers: Vec<u64> = arguments.iter().map(|text| number(text)).collect();
    let total = numbers.first().copied().unwrap_or(8) << 30;
    let rounds = numbers.get(1).copied().unwrap_or(3);
    let segment = numbers.get(2).copied().unwrap_or(32) << 10;
    let mut results = vec![(Vec::new(), Vec::new()); CONTESTANTS.len()];
    for _ in 0..rounds {
        for (contestant, (rates, costs)) in CONTESTANTS.iter().zip(&mut results) {
            let (rate, cost) = run(contestant, total, segment);
            rates.push(rate);
            costs.push(cost);
        }
    }
    let medians: Vec<(f64, f64)> =
        results.into_iter().map(|(rates, costs)| (median(rates), median(costs))).collect();
    let (pair, best) = (medians[0].0, medians[..3].iter().map(|m| m.0).fold(0.0, f64::max));
    for (contestant, (rate, cost)) in CONTESTANTS.iter().zip(&medians) {
        println!(
            "{} KiB, {contestant}: {rate:.2} GB/s, {cost:.3} CPU-s/GB, {:.2} of write/read, {:.2} of \
             the best bare loop",
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
            let runs: Vec<(f64, f64)> =
                (0..rounds).map(|_| run(contestant, total, kib << 10)).collect();
            let rate = median(runs.iter().map(|run| run.0).collect::<Vec<f64>>());
            let cost = median(runs.iter().map(|run| run.1).collect::<Vec<f64>>());
            format!("{rate:.2} GB/s, {cost:.3}")
        });
        println!("| {kib} | {} |", cells.join(" | "));
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Sends from this process to a child; gives GB/s and processor seconds a GB of both.
fn run(contestant: &str, total: u64, segment: u64) -> (f64, f64) {
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
            "uring send" => send_uring(&stream, total, segment, false),
            "uring send_zc x8" => send_uring(&stream, total, segment, true),
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

fn send_uring(stream: &TcpStream, total: u64, segment: u64, zero_copy: bool) {
    const LINKED: usize = 8;
    let mut ring = ring();
    let buffers: Vec<Vec<u8>> = (0..LINKED).map(|_| vec![7u8; segment as usize]).collect();
    if zero_copy {
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
            let entry = if zero_copy {
                opcode::SendZc::new(file, start, length)
                    .buf_index(Some(index as u16))
                    .flags(libc::MSG_WAITALL)
                    .build()
            } else {
                opcode::Send::new(file, start, length).flags(libc::MSG_WAITALL).build()
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
        let mut pending = if zero_copy { 2 * LINKED } else { LINKED };
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
                Some(Element::Event(_)) => {
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

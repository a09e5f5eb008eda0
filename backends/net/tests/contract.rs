//! What every transport must do, with two links in one process over a real socket.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    task::Waker,
    thread,
    time::Duration,
};

use millstream_data::{
    Value,
    page::{Demand, Layout, PageBuilder, Shape, ValidPage},
    value::Record,
};
use millstream_dataflow::channel::{Element, Receiver, Sender, channel, returning_channel};
use millstream_exchange::{
    PartitionId, WorkerId,
    event::Event,
    frame::{Hello, Request},
};
use millstream_executor::{ExecutorBackend, Running, ThreadPerCore};
use millstream_memory::{JumboBudget, LocalPool, NetworkPool, Segment};
use millstream_net::{
    Chosen, InletConfig, Link, LinkConfig, Preference, Transport, ZeroCopy, choose,
};
use millstream_segments::HeapArena;

type Row = (u64, String);

const SEGMENT: usize = 4096;
const RECORD_MAX: u32 = 1 << 20;

/// One end: its executor, running, and the ends of its channels.
struct End {
    running: Box<dyn Running>,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
}

/// Two ends with `channels` channels in each direction.
struct Pair {
    ends: [End; 2],
    network: NetworkPool,
    shape: Arc<Shape>,
}

fn transports() -> Vec<Chosen> {
    let wanted = [Transport::Tcp, Transport::Uring];
    wanted.map(|transport| choose(Preference::Only(transport)).expect("the transport")).into()
}

fn sockets() -> [TcpStream; 2] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    [one, listener.accept().unwrap().0]
}

fn pair(chosen: &Chosen, channels: u32, exclusive: usize) -> Pair {
    pair_of(chosen, channels, exclusive, [7, 7])
}

fn pair_of(chosen: &Chosen, channels: u32, exclusive: usize, jobs: [u64; 2]) -> Pair {
    let network = NetworkPool::new(Box::new(HeapArena::new(SEGMENT, 400).unwrap()));
    let shape = Arc::new(Shape::new(&Row::schema()));
    let mut number = 0;
    let ends = sockets().map(|stream| {
        let own = number;
        number += 1;
        let mut executor = ThreadPerCore::new(1).executor();
        let id = executor.reserve(0);
        let request = |producer: u32, subpartition| Request {
            partition: PartitionId { result: 1, subtask: producer, attempt: 0 },
            subpartition,
        };
        let (mut outlets, mut inlets) = (Vec::new(), Vec::new());
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for subpartition in 0..channels {
            let (sender, receiver) = channel(executor.waker(id));
            senders.push(sender);
            outlets.push((request(own, subpartition), receiver));
            let (sender, receiver, returned) =
                returning_channel(Waker::noop().clone(), executor.waker(id), 16);
            receivers.push(receiver);
            inlets.push(InletConfig {
                request: request(1 - own, subpartition),
                sender,
                returned,
                shape: Arc::clone(&shape),
                exclusive: network.create_local(exclusive, exclusive).unwrap(),
                floating: network.create_local(1, 8).unwrap(),
                jumbo: JumboBudget::new(u64::from(RECORD_MAX), u64::from(RECORD_MAX)),
            });
        }
        let hello = Hello {
            job: jobs[own as usize],
            worker: WorkerId(own),
            segment_bytes: SEGMENT as u32,
            record_bytes_max: RECORD_MAX,
        };
        let peer = format!("worker {}", 1 - own);
        let zero_copy = if own == 1 { ZeroCopy::Always } else { ZeroCopy::WherePays };
        let link = Link::new(
            stream,
            chosen,
            LinkConfig { peer, hello, zero_copy, queued_max: 10, outlets, inlets },
        );
        let link = link.unwrap();
        executor.watch(id, link.file()).unwrap();
        executor.place(id, Box::new(link));
        End { running: executor.start(), senders, receivers }
    });
    Pair { ends, network, shape }
}

/// Writes rows into pages, as a task does.
fn produce(mut sender: Sender, pool: &LocalPool, shape: &Shape, rows: impl Iterator<Item = Row>) {
    let layout = Arc::new(Layout::fitted(shape, SEGMENT, 16).unwrap());
    let mut open: Option<PageBuilder<Row, Segment>> = None;
    for row in rows {
        let heap = Row::heap_bytes(row.view());
        if heap > SEGMENT / 2 {
            push(&mut sender, open.take(), shape);
            let layout = Arc::new(Layout::jumbo(shape, &Demand::of::<Row>(row.view())).unwrap());
            let budget = JumboBudget::new(u64::from(RECORD_MAX), u64::from(RECORD_MAX));
            let lease = budget.reserve(layout.size() as u64).unwrap();
            let segment = Segment::jumbo(lease, layout.size()).unwrap();
            let mut page = PageBuilder::new(segment, shape, &layout);
            page.append(row.view()).unwrap();
            push(&mut sender, Some(page), shape);
            continue;
        }
        loop {
            if let Some(page) = &mut open {
                if page.append(row.view()).is_ok() {
                    break;
                }
                push(&mut sender, open.take(), shape);
            }
            let segment = wait(|| pool.request());
            open = Some(PageBuilder::new(segment, shape, &layout));
        }
    }
    push(&mut sender, open.take(), shape);
    push_element(&mut sender, Element::Event(Event::EndOfPartition));
}

fn push(sender: &mut Sender, page: Option<PageBuilder<Row, Segment>>, shape: &Shape) {
    if let Some(page) = page {
        let sealed = page.seal(shape, true);
        push_element(sender, Element::Page(sealed.buffer.freeze(sealed.length)));
    }
}

fn push_element(sender: &mut Sender, element: Element) {
    let mut element = Some(element);
    wait(|| match sender.push(element.take()?) {
        Ok(()) => Some(()),
        Err(refused) => {
            element = Some(refused);
            None
        }
    });
}

/// Reads rows until the partition ends.
fn consume(mut receiver: Receiver) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        match wait(|| receiver.pop()) {
            Element::Page(page) => {
                let view = ValidPage::trusted(&page).unwrap();
                let columns = Row::bind(&view);
                rows.extend((0..view.rows()).map(|row| Row::own(Row::at(&columns, row))));
                receiver.give_back(page);
            }
            Element::Event(Event::EndOfPartition) => return rows,
            _ => {}
        }
    }
}

/// Tries until it works; the other threads of the test make it so.
fn wait<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        match attempt() {
            Some(result) => return result,
            None => thread::yield_now(),
        }
    }
}

fn rows(end: usize, channel: usize, count: u64) -> impl Iterator<Item = Row> + Clone + Send {
    (0..count).map(move |i| {
        let length = match i % 50 {
            49 => 3 * SEGMENT + (i as usize % 100),
            other => other as usize,
        };
        (
            i << 8 | (end as u64) << 4 | channel as u64,
            "abcdefg".chars().cycle().take(length).collect(),
        )
    })
}

/// Runs all channels in both directions, and checks every row.
fn exchange(chosen: &Chosen, channels: usize, exclusive: usize, count: u64) {
    let Pair { ends, network, shape } = pair(chosen, channels as u32, exclusive);
    thread::scope(|scope| {
        let (mut readers, mut all) = (Vec::new(), Vec::new());
        for (number, end) in ends.into_iter().enumerate() {
            let End { running, senders, receivers } = end;
            for (channel, sender) in senders.into_iter().enumerate() {
                let pool = network.create_local(2, 10).unwrap();
                let shape = &shape;
                let rows = rows(number, channel, count);
                scope.spawn(move || produce(sender, &pool, shape, rows));
            }
            for (channel, receiver) in receivers.into_iter().enumerate() {
                let reader = scope.spawn(move || consume(receiver));
                readers.push((1 - number, channel, reader));
            }
            all.push(running);
        }
        for (number, channel, reader) in readers {
            let read = reader.join().unwrap();
            assert!(read.into_iter().eq(rows(number, channel, count)), "{number}/{channel}");
        }
        for mut running in all {
            running.join().unwrap();
        }
    });
    assert!(network.audit().is_conserved());
    assert_eq!(network.available(), network.total(), "every segment came home");
}

#[test]
fn rows_arrive_in_order_on_every_channel_in_both_directions() {
    for chosen in transports() {
        exchange(&chosen, 3, 2, 2000);
    }
}

#[test]
fn one_exclusive_segment_is_enough() {
    for chosen in transports() {
        exchange(&chosen, 2, 1, 500);
    }
}

#[test]
fn empty_partitions_end() {
    for chosen in transports() {
        exchange(&chosen, 4, 2, 0);
    }
}

#[test]
fn a_lost_connection_fails_the_other_end() {
    for chosen in transports() {
        let Pair { ends: [mut one, mut two], .. } = pair(&chosen, 1, 2);
        one.running.outcome().cancel();
        assert!(one.running.join().is_err());
        drop((one.senders, one.receivers));
        let error = two.running.join().unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("worker 0") && text.contains("lost"), "{text}");
    }
}

#[test]
fn another_job_is_refused() {
    for chosen in transports() {
        let Pair { ends, .. } = pair_of(&chosen, 1, 2, [7, 8]);
        for mut end in ends {
            let outcome = Arc::clone(end.running.outcome());
            let error = format!("{:?}", end.running.join().unwrap_err());
            assert!(error.contains("job graph") || error.contains("lost"), "{error}");
            assert!(outcome.wait(Duration::ZERO));
        }
    }
}

#[test]
fn the_size_of_pages_that_a_consumer_asks_for_reaches_its_producer() {
    for chosen in transports() {
        let Pair { ends: [mut one, mut two], network, shape } = pair(&chosen, 1, 2);
        let (mut sender, mut receiver) = (one.senders.remove(0), two.receivers.remove(0));
        assert_eq!(sender.page_bytes(), u32::MAX);
        receiver.set_page_bytes(300);
        let layout = Arc::new(Layout::fitted(&shape, SEGMENT, 16).unwrap());
        let segment = network.create_local(1, 1).unwrap().request().unwrap();
        let mut page = PageBuilder::<Row, _>::new(segment, &shape, &layout);
        page.append((1, "one")).unwrap();
        push(&mut sender, Some(page), &shape);
        // What was read goes back, and with it what the consumer wishes.
        let Element::Page(page) = wait(|| receiver.pop()) else { panic!("a page comes first") };
        receiver.give_back(page);
        wait(|| (sender.page_bytes() == 300).then_some(()));
        for sender in [&mut sender, &mut two.senders[0]] {
            push_element(sender, Element::Event(Event::EndOfPartition));
        }
        assert_eq!(consume(receiver), []);
        assert_eq!(consume(one.receivers.remove(0)), []);
        for mut running in [one.running, two.running] {
            running.join().unwrap();
        }
    }
}

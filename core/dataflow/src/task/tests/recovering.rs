//! What was in flight at the checkpoint that a job begins from comes before what follows it, on all channels.

use super::{overtaking::*, *};

/// A barrier among rows.
const BARRIER: u64 = u64::MAX;

/// A task with two channels.
struct Two {
    task: Task,
    inputs: [Sender; 2],
    output: Receiver,
    pool: LocalPool,
    _network: NetworkPool,
}

/// Both bring what was in flight, in so many rounds.
fn two(rounds: u32) -> Two {
    recovering(vec![0], rounds)
}

/// What was in flight comes on these ports, in so many rounds.
fn recovering(ports: Vec<u16>, rounds: u32) -> Two {
    let network = NetworkPool::new(Box::new(HeapArena::new(SEGMENT, 64).unwrap()));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..2).map(|_| channel(Waker::noop().clone())).unzip();
    let (sender, output) = channel(Waker::noop().clone());
    let info = info();
    let writer = PartitionWriter::<u64, Single>::new(&Single, 0, &info).unwrap();
    let partition = ResultPartition::new(network.create_local(2, 10).unwrap(), vec![sender]);
    let outputs = Outputs::new(vec![partition], JumboBudget::new(1 << 20, 1 << 20));
    let input = |(subtask, receiver)| {
        let origin = Some(Origin { edge: 0, subtask });
        Input { receiver, port: 0, origin }
    };
    let inputs = (0..).zip(receivers).map(input).collect();
    let chain = Box::new(PageChain::<u64, _>::new(writer));
    let task = Task::new(String::from("test"), chain, inputs, outputs, BufferTimeout::EachRecord);
    let inputs = senders.try_into().expect("two channels");
    let pool = network.create_local(1, 20).unwrap();
    let recovery = Recovery { recovered: Vec::new(), ports, rounds };
    Two { task: task.recover(recovery), inputs, output, pool, _network: network }
}

impl Two {
    fn send(&mut self, channel: usize, row: u64) {
        let sizing = Sizing::new(Arc::new(Shape::new(&u64::schema())), SEGMENT).unwrap();
        let segment = self.pool.request().expect("a segment");
        let mut page = PageBuilder::<u64, _>::new(segment, sizing.shape(), sizing.layout());
        page.append(row.view()).expect("it fits");
        let sealed = page.seal(sizing.shape(), false);
        let page = Element::Page(sealed.buffer.freeze(sealed.length));
        self.inputs[channel].push(page).expect("room");
    }

    fn say(&mut self, channel: usize, event: Event) {
        self.inputs[channel].push(Element::Event(event)).expect("room");
    }

    /// Polls until there is nothing to do; the rows that come out, 0 where a round ends, and barriers.
    fn rows(&mut self, now: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        loop {
            let again = self.task.poll(now, Waker::noop()).expect("no failure") == TaskPoll::Again;
            // What waits on the output keeps pages open.
            let Some(element) = self.output.pop() else {
                if again {
                    continue;
                }
                break;
            };
            match element {
                Element::Page(page) => {
                    let page = ValidPage::trusted(&page).unwrap();
                    seen.extend_from_slice(page.column(0).fixed::<u64>());
                }
                Element::Event(Event::EndOfRecovery) => seen.push(0),
                Element::Event(Event::Barrier(_)) => seen.push(BARRIER),
                _ => {}
            }
        }
        seen
    }
}

#[test]
fn what_follows_waits_for_what_was_in_flight_on_other_channels() {
    let mut two = two(1);
    two.say(0, Event::EndOfRecovery);
    two.send(0, 7);
    two.send(1, 1);
    assert_eq!(two.rows(0), [0, 1]);
    two.send(1, 2);
    assert_eq!(two.rows(0), [2]);
    two.say(1, Event::EndOfRecovery);
    two.send(1, 8);
    let rows = two.rows(0);
    assert!(rows == [7, 8] || rows == [8, 7], "{rows:?}");
}

#[test]
fn consumers_are_told_of_rounds_behind_the_first() {
    let mut two = two(2);
    two.send(0, 1);
    two.say(0, Event::EndOfRecovery);
    two.send(0, 3);
    assert_eq!(two.rows(0), [0, 1]);
    two.send(1, 2);
    two.say(1, Event::EndOfRecovery);
    assert_eq!(two.rows(0), [2, 0, 3]);
    two.say(1, Event::EndOfRecovery);
    two.send(1, 8);
    assert_eq!(two.rows(0), []);
    two.say(0, Event::EndOfRecovery);
    assert_eq!(two.rows(0), [8]);
}

#[test]
fn a_channel_that_ends_brings_nothing_in_flight() {
    let mut two = two(1);
    two.say(0, Event::EndOfRecovery);
    two.send(0, 7);
    two.send(1, 1);
    two.say(1, Event::EndOfPartition);
    assert_eq!(two.rows(0), [0, 1, 7]);
}

#[test]
fn no_barrier_overtakes_what_was_in_flight() {
    let mut two = two(1);
    let kept = Arc::<Mutex<Kept>>::default();
    let writer = Writer { kept: Arc::clone(&kept), timeout_ms: 1 };
    two.task = two.task.checkpoint_to(Box::new(writer));
    two.say(0, Event::EndOfRecovery);
    two.send(0, 7);
    two.say(0, Event::Barrier(barrier(1, 1)));
    two.send(1, 1);
    assert_eq!(two.rows(5_000), [0, 1]);
    assert_eq!(kept.lock().unwrap().finished, [0_u64; 0]);
    // It does when that has come.
    two.say(1, Event::EndOfRecovery);
    two.send(1, 8);
    two.rows(10_000);
    two.say(1, Event::Barrier(barrier(1, 1)));
    two.rows(10_000);
    assert_eq!(kept.lock().unwrap().finished, [1]);
}

/// Who reads from sources alone says the ends of all rounds, and no barrier before.
#[test]
fn no_barrier_goes_in_front_of_the_end_of_a_round() {
    let mut two = recovering(Vec::new(), 3);
    let kept = Arc::<Mutex<Kept>>::default();
    let writer = Writer { kept: Arc::clone(&kept), timeout_ms: 1 };
    two.task = two.task.checkpoint_to(Box::new(writer));
    two.send(0, 7);
    for channel in 0..2 {
        two.say(channel, Event::Barrier(barrier(1, 1)));
    }
    let rows = two.rows(5_000);
    assert_eq!(rows[..3], [0, 0, 0], "{rows:?}");
    assert!(rows.contains(&BARRIER) && rows.contains(&7), "{rows:?}");
}

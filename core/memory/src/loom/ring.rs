//! The ring: order, hand-over, full and empty, abandonment.

use loom::thread;

use crate::ring::Ring;

#[test]
fn loom_ring_keeps_order_and_hands_over() {
    loom::model(|| {
        let (mut producer, mut consumer) = Ring::with_capacity(2);
        let sender = thread::spawn(move || {
            for mut value in [10, 11, 12] {
                while let Err(back) = producer.push(value) {
                    value = back;
                    thread::yield_now();
                }
            }
        });
        let mut expected = 10;
        while expected < 13 {
            match consumer.pop() {
                Some(value) => {
                    assert_eq!(value, expected);
                    expected += 1;
                }
                None => thread::yield_now(),
            }
        }
        sender.join().unwrap();
        assert!(consumer.is_abandoned() && consumer.pop().is_none());
    });
}

#[test]
fn loom_ring_delivers_everything_before_the_end() {
    loom::model(|| {
        let (mut producer, mut consumer) = Ring::with_capacity(2);
        let sender = thread::spawn(move || {
            producer.push(1).unwrap();
            producer.push(2).unwrap();
        });
        let mut sum = 0;
        loop {
            let last_look = consumer.is_abandoned();
            match consumer.pop() {
                Some(value) => sum += value,
                None if last_look => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(sum, 3);
        sender.join().unwrap();
    });
}

#[test]
fn loom_ring_drops_what_nobody_reads() {
    loom::model(|| {
        let witness = loom::sync::Arc::new(());
        let (mut producer, mut consumer) = Ring::with_capacity(2);
        let element = witness.clone();
        let sender = thread::spawn(move || {
            let _ = producer.push(element.clone());
            let _ = producer.push(element);
        });
        drop(consumer.pop());
        drop(consumer);
        sender.join().unwrap();
        assert_eq!(loom::sync::Arc::strong_count(&witness), 1);
    });
}

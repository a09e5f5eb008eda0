//! The waker slot: no wake-up is lost, and what was written before it is seen after.

use alloc::sync::Arc as StdArc;
use alloc::task::Wake;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use loom::future::block_on;
use loom::thread;

use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering, UnsafeCell};
use crate::waker::WakerSlot;

struct Event {
    slot: WakerSlot,
    happened: AtomicBool,
}

#[test]
fn loom_waker_is_not_lost() {
    loom::model(|| {
        let event = Arc::new(Event { slot: WakerSlot::new(), happened: AtomicBool::new(false) });
        let other = event.clone();
        let thread = thread::spawn(move || {
            // Relaxed: the slot itself must carry the news.
            other.happened.store(true, Ordering::Relaxed);
            other.slot.wake();
        });
        block_on(poll_fn(|cx| {
            event.slot.register(cx.waker());
            if event.happened.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        }));
        thread.join().unwrap();
    });
}

#[test]
fn loom_waker_hears_two_threads() {
    super::explore(3, || {
        let slot = Arc::new(WakerSlot::new());
        let count = Arc::new(AtomicU32::new(0));
        let threads = [0, 1].map(|_| {
            let (slot, count) = (slot.clone(), count.clone());
            thread::spawn(move || {
                count.fetch_add(1, Ordering::Relaxed);
                slot.wake();
            })
        });
        block_on(poll_fn(|cx| {
            slot.register(cx.waker());
            if count.load(Ordering::Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Two tasks must not wait on one slot; if they register at once, the slot still works afterwards
/// and the one that gave way was told.
#[test]
fn loom_waker_survives_two_registrations_at_once() {
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: StdArc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    loom::model(|| {
        let slot = Arc::new(WakerSlot::new());
        let count = StdArc::new(Count(AtomicU32::new(0)));
        let other = thread::spawn({
            let (slot, count) = (slot.clone(), count.clone());
            move || slot.register(&Waker::from(count))
        });
        slot.register(&Waker::from(count.clone()));
        other.join().unwrap();
        let gave_way = count.0.swap(0, Ordering::Relaxed);
        assert!(gave_way <= 1, "one of the two is stored");
        slot.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "and woken");
    });
}

#[test]
fn loom_waker_carries_what_was_written() {
    loom::model(|| {
        struct Page(UnsafeCell<u32>);
        // SAFETY: loom reports unordered accesses.
        unsafe impl Sync for Page {}
        // SAFETY: as above.
        unsafe impl Send for Page {}

        let page = Arc::new(Page(UnsafeCell::new(0)));
        let event = Arc::new(Event { slot: WakerSlot::new(), happened: AtomicBool::new(false) });
        let (page_other, event_other) = (page.clone(), event.clone());
        let thread = thread::spawn(move || {
            // SAFETY: written before the wake-up, read only after it; loom checks it.
            page_other.0.with_mut(|cell| unsafe { *cell = 7 });
            event_other.happened.store(true, Ordering::Release);
            event_other.slot.wake();
        });
        block_on(poll_fn(|cx| {
            event.slot.register(cx.waker());
            if event.happened.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        }));
        // SAFETY: as above.
        assert_eq!(page.0.with(|cell| unsafe { *cell }), 7);
        thread.join().unwrap();
    });
}

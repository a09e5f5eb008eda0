//! Orders on their way to tasks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use millstream_checkpoint::TaskId;
use millstream_dataflow::task::Order;

use super::Work;

/// The orders of one task.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Whether there are any: asked far more often than there are.
    any: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<Order>,
    waker: Option<Waker>,
}

impl Orders {
    /// Gives the task an order.
    fn push(&self, order: Order) {
        let mut queue = self.lock();
        queue.orders.push_back(order);
        self.any.store(true, Ordering::Release);
        if let Some(waker) = &queue.waker {
            waker.wake_by_ref();
        }
    }

    /// The waker of the task, woken at each order from now on.
    pub(super) fn register(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    /// The next order.
    pub(super) fn pop(&self) -> Option<Order> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.lock();
        let order = queue.orders.pop_front();
        self.any.store(!queue.orders.is_empty(), Ordering::Release);
        order
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks of this process, by number.
#[derive(Debug)]
pub(crate) struct Directory {
    tasks: Mutex<BTreeMap<u32, Arc<Orders>>>,
    /// Where they work, which hears what all are told as long as they do.
    work: Weak<Work>,
}

impl Directory {
    /// Of a process whose tasks work there.
    pub(super) fn new(work: &Arc<Work>) -> Arc<Self> {
        Arc::new(Self { tasks: Mutex::default(), work: Arc::downgrade(work) })
    }

    /// Adds a task.
    pub(super) fn add(&self, task: TaskId) -> Arc<Orders> {
        let orders = Arc::new(Orders::default());
        self.lock().insert(task.0, Arc::clone(&orders));
        orders
    }

    /// Gives a task of this process an order; `false` if it is not here.
    pub(crate) fn order(&self, task: TaskId, order: Order) -> bool {
        match self.lock().get(&task.0) {
            Some(orders) => {
                orders.push(order);
                true
            }
            None => false,
        }
    }

    /// Gives all tasks of this process an order.
    pub(crate) fn order_all(&self, order: Order) {
        self.lock().values().for_each(|orders| orders.push(order));
        if let Some(work) = self.work.upgrade() {
            work.hear(&order);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Orders>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

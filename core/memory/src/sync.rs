//! The one place that atomics, shared pointers and cells come from.
//!
//! Everything in Millstream that two threads touch at once is written against this module. In a
//! normal build it re-exports `core` and `alloc`; under `--cfg loom` the same names are loom's, so
//! that the model checker explores the very code that ships.
//!
//! Two rules make that possible. Cells are reached through closures ([`UnsafeCell::with`],
//! [`UnsafeCell::with_mut`]), because loom has to see where an access begins and ends. And no
//! handshake relies on sequentially consistent loads and stores, which loom does not model: where
//! two threads must not miss each other, both perform a read-modify-write on *one* atomic.

mod lock;

pub use lock::SpinLock;

#[cfg(not(loom))]
pub use alloc::sync::Arc;
#[cfg(not(loom))]
pub use core::hint::spin_loop;
#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub use loom::cell::UnsafeCell;
#[cfg(loom)]
pub use loom::hint::spin_loop;
#[cfg(loom)]
pub use loom::sync::Arc;
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use core::ops::{Deref, DerefMut};

/// A cell whose content is reached through a raw pointer inside a closure.
///
/// The same face as loom's cell, at no cost: both methods compile to the bare pointer.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Gives the content back.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

#[cfg(not(loom))]
impl<T: ?Sized> UnsafeCell<T> {
    /// Calls `f` with a pointer for reading.
    ///
    /// Dereferencing it is up to the caller's proof that nobody writes meanwhile.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer for writing.
    ///
    /// Dereferencing it is up to the caller's proof that nobody else reads or writes meanwhile.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value on cache lines of its own.
///
/// 128 bytes, not 64: current x86 cores fetch lines in adjacent pairs, and some ARM cores have
/// lines of 128 bytes, so two counters 64 bytes apart still slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CachePadded<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

//! What a program without std needs: an allocator, a panic handler, and a way to speak.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    panic::PanicInfo,
    sync::atomic::{AtomicUsize, Ordering},
};

unsafe extern "C" {
    fn write(file: i32, start: *const u8, length: usize) -> isize;
    fn abort() -> !;
}

/// Bytes that the program may allocate in all.
const HEAP_BYTES: usize = 256 << 10;

/// Gives memory out of a fixed block and never takes it back: the whole budget of the device.
struct Bump {
    block: UnsafeCell<[u8; HEAP_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: each allocation is a part of the block of its own, claimed with an atomic operation.
unsafe impl Sync for Bump {}

// SAFETY: what is given out is aligned, within the block, and given out once.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.block.get().cast::<u8>();
        let claim = |used: usize| {
            let at = (start as usize + used).next_multiple_of(layout.align()) - start as usize;
            let end = at.checked_add(layout.size())?;
            (end <= HEAP_BYTES).then_some(end)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim) {
            Ok(used) => {
                let at = (start as usize + used).next_multiple_of(layout.align());
                // SAFETY: the claim was within the block.
                unsafe { start.add(at - start as usize) }
            }
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _start: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static HEAP: Bump = Bump { block: UnsafeCell::new([0; HEAP_BYTES]), used: AtomicUsize::new(0) };

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { abort() }
}

/// The host's precompiled `alloc` refers to these, although nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// See [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { abort() }
}

/// Writes to standard output.
pub(crate) fn print(text: &str) {
    // SAFETY: the text is readable for its length.
    let _ = unsafe { write(1, text.as_ptr(), text.len()) };
}

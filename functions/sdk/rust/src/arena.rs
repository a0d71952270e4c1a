//! Arena: an allocator for calls that are short.
//!
//! Memory is handed out upwards from the end of the module's data; freeing takes back what was handed out last. When nothing is
//! alive any more, which is so at the end of a call that keeps no statics, it starts anew at the bottom: an instance that is
//! reused does not grow. There are no free lists, so a long-running loop that holds one value and frees many others grows:
//! build without the feature `arena` for that.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

struct Arena {
    /// First free address; 0 before the first use.
    top: Cell<usize>,
    /// Where the newest allocation begins.
    newest: Cell<usize>,
    alive: Cell<usize>,
}

// SAFETY: a module of wasm32-unknown-unknown has one thread.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { top: Cell::new(0), newest: Cell::new(0), alive: Cell::new(0) };

const PAGE: usize = 64 << 10;

unsafe extern "C" {
    static __heap_base: u8;
}

fn bottom() -> usize {
    &raw const __heap_base as usize
}

/// Makes memory reach up to `end`, or says that the host refused.
fn reach(end: usize) -> bool {
    let have = core::arch::wasm32::memory_size(0) * PAGE;
    end <= have || core::arch::wasm32::memory_grow(0, (end - have).div_ceil(PAGE)) != usize::MAX
}

// SAFETY: every block lies between the end of the data and the end of memory, above all blocks handed out before it that are
// still alive: `top` only goes down to the start of the newest block when that one is freed, or to the bottom when none lives.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let top = if self.alive.get() == 0 { bottom() } else { self.top.get() };
        let start = top.next_multiple_of(layout.align());
        let Some(end) = start.checked_add(layout.size()) else { return std::ptr::null_mut() };
        if !reach(end) {
            return std::ptr::null_mut();
        }
        self.newest.set(start);
        self.top.set(end);
        self.alive.set(self.alive.get() + 1);
        start as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        self.alive.set(self.alive.get() - 1);
        if block as usize == self.newest.get() {
            self.top.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = block as usize;
        if start == self.newest.get() {
            let Some(end) = start.checked_add(size) else { return std::ptr::null_mut() };
            if !reach(end) {
                return std::ptr::null_mut();
            }
            self.top.set(end);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the old block has `layout.size()` bytes, the new one more, and they do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size());
                self.dealloc(block, layout);
            }
            new
        }
    }
}

//! Front: the few objects a thread serves most, one array look-up away.
//!
//! In: objects that the memory tier just gave. Out: the same object while the tier still holds it. Never: a lock, an object
//! the tier has let go of, more than its slots.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::object::{KeyHash, Object};

/// Slots a thread, direct-mapped by the hash's low bits. 2,048 × 24 bytes = 48 KiB a thread.
const SLOTS: usize = 2048;
/// Objects with larger bodies stay out: a slot may keep an evicted object's memory until it is looked at again, so a thread
/// keeps about `SLOTS` × this (16 MiB) beyond the tier's bound.
const MAX_BODY: u64 = 8 << 10;
/// One look-up in so many, found here or not, is asked of the tier itself, so that its eviction policy sees what is popular.
const TELL_TIER_EVERY: u32 = 16;
/// One object in so many that were not here is put here: what is popular comes soon enough, and the rest costs less.
const PUT_EVERY: u32 = 4;

#[derive(Debug)]
struct Front {
    slots: Vec<Option<Slot>>,
    looks: u32,
    puts: u32,
}

/// What the front says about a slot.
#[derive(Debug)]
pub enum Seen {
    Here(Arc<Object>),
    Not,
    /// It is the tier's turn to be asked.
    TellTier,
}

#[derive(Debug)]
struct Slot {
    /// Which `Tiers` the object is from: a process has one, tests have many.
    tiers: u32,
    /// Kept here too: a slot that holds another object is seen without touching that object.
    hash: KeyHash,
    object: Arc<Object>,
}

thread_local! {
    static FRONT: RefCell<Front> = const { RefCell::new(Front { slots: Vec::new(), looks: 0, puts: 0 }) };
}

/// The object in this thread's slot for `hash`, when the tier still holds it.
pub fn get(tiers: u32, hash: &KeyHash) -> Seen {
    FRONT.with_borrow_mut(|front| {
        front.looks = front.looks.wrapping_add(1);
        if front.looks.is_multiple_of(TELL_TIER_EVERY) {
            return Seen::TellTier;
        }
        let Some(slot) = front.slots.get_mut(index(hash)) else { return Seen::Not };
        match slot.as_ref().filter(|held| held.hash == *hash && held.tiers == tiers) {
            None => Seen::Not,
            Some(held) if held.object.live.load(Ordering::Acquire) => Seen::Here(held.object.clone()),
            Some(_) => {
                *slot = None;
                Seen::Not
            }
        }
    })
}

/// Keeps `object` in its slot, in place of what was there; not every time.
pub fn put(tiers: u32, object: &Arc<Object>) {
    FRONT.with_borrow_mut(|front| {
        front.puts = front.puts.wrapping_add(1);
        if !front.puts.is_multiple_of(PUT_EVERY) || object.body.len() > MAX_BODY {
            return;
        }
        if front.slots.is_empty() {
            front.slots.resize_with(SLOTS, || None);
        }
        if let Some(slot) = front.slots.get_mut(index(&object.hash)) {
            *slot = Some(Slot { tiers, hash: object.hash, object: object.clone() });
        }
    });
}

fn index(hash: &KeyHash) -> usize {
    usize::from(u16::from_le_bytes([hash[0], hash[1]])) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    #[test]
    fn serves_only_what_is_live_and_asks_the_tier_now_and_then() {
        let object = Arc::new(fixture::object(1, b"body"));
        let here = |tiers, hash| (0..160).filter(|_| matches!(get(tiers, hash), Seen::Here(_))).count();
        (0..PUT_EVERY).for_each(|_| put(900, &object));
        assert_eq!(here(901, &object.hash), 0, "another store's");
        assert_eq!(here(900, &object.hash), 150, "one in sixteen goes to the tier");
        object.live.store(false, Ordering::Release);
        assert_eq!(here(900, &object.hash), 0);
        assert_eq!(Arc::strong_count(&object), 1, "the slot let it go");
    }

    #[test]
    fn large_objects_stay_out() {
        let object = Arc::new(fixture::object(2, &[0; 9000]));
        (0..PUT_EVERY).for_each(|_| put(902, &object));
        assert_eq!(Arc::strong_count(&object), 1);
    }
}

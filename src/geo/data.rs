//! Data: whether the values of a database are whole.
//!
//! In: a data section, where its values begin. Out: yes or no. Never: a value itself (the library reads those, and trusts them).
//!
//! Source: MaxMind DB File Format Specification 2.0, "Data Section".

/// Values within values: real records have four levels.
const DEPTH_MAX: usize = 32;

const POINTER: u8 = 1;
const STRING: u8 = 2;
const MAP: u8 = 7;
const ARRAY: u8 = 11;

/// One section, and where in it a value was found whole already: shared ones are looked at once.
pub struct Data<'f> {
    bytes: &'f [u8],
    /// A bit for each byte of the section.
    whole: Vec<u64>,
}

/// The first bytes of a value.
struct Head {
    kind: u8,
    /// Bytes, elements or pairs; of a pointer where it leads.
    size: usize,
    /// Where the rest begins.
    after: usize,
}

// === impl Data ===
impl<'f> Data<'f> {
    pub fn new(bytes: &'f [u8]) -> Self {
        Data { bytes, whole: vec![0; bytes.len() / 64 + 1] }
    }

    pub fn is_whole(&mut self, at: usize) -> bool {
        self.known(at) || self.value(at, 0).is_some()
    }

    fn known(&self, at: usize) -> bool {
        self.whole.get(at / 64).is_some_and(|bits| bits & (1 << (at % 64)) != 0)
    }

    /// Where the value at `at` ends. `None`: it is not whole.
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        if depth > DEPTH_MAX {
            return None;
        }
        let head = self.head(at)?;
        let end = match head.kind {
            POINTER => {
                self.target(head.size, depth)?;
                head.after
            }
            MAP => {
                let mut next = head.after;
                for _ in 0..head.size {
                    next = self.value(self.key(next)?, depth + 1)?;
                }
                next
            }
            ARRAY => {
                let mut next = head.after;
                for _ in 0..head.size {
                    next = self.value(next, depth + 1)?;
                }
                next
            }
            _ => head.after.checked_add(head.size).filter(|end| *end <= self.bytes.len())?,
        };
        if let Some(bits) = self.whole.get_mut(at / 64) {
            *bits |= 1 << (at % 64);
        }
        Some(end)
    }

    /// A pointer leads to a value that is no pointer.
    fn target(&mut self, at: usize, depth: usize) -> Option<()> {
        if self.head(at)?.kind == POINTER {
            return None;
        }
        if !self.known(at) {
            self.value(at, depth + 1)?;
        }
        Some(())
    }

    /// Where a map's key ends: it is a text, or leads to one.
    fn key(&self, at: usize) -> Option<usize> {
        let mut head = self.head(at)?;
        let mut end = None;
        if head.kind == POINTER {
            end = Some(head.after);
            head = self.head(head.size)?;
        }
        let text = head.after.checked_add(head.size).filter(|end| head.kind == STRING && *end <= self.bytes.len())?;
        Some(end.unwrap_or(text))
    }

    fn head(&self, at: usize) -> Option<Head> {
        let control = *self.bytes.get(at)?;
        let (mut kind, mut after) = (control >> 5, at + 1);
        if kind == POINTER {
            return self.pointer(control, after);
        }
        if kind == 0 {
            kind = self.bytes.get(after)?.checked_add(7)?;
            after += 1;
        }
        let size = match control & 0x1f {
            small @ 0..29 => usize::from(small),
            29 => 29 + self.number(&mut after, 1)?,
            30 => 285 + self.number(&mut after, 2)?,
            _ => 65_821 + self.number(&mut after, 3)?,
        };
        valid(kind, size).then_some(Head { kind, size, after })
    }

    fn pointer(&self, control: u8, mut after: usize) -> Option<Head> {
        let upper = usize::from(control & 0x07);
        let size = match (control >> 3) & 0x03 {
            0 => (upper << 8) + self.number(&mut after, 1)?,
            1 => (upper << 16) + self.number(&mut after, 2)? + 2048,
            2 => (upper << 24) + self.number(&mut after, 3)? + 526_336,
            _ => self.number(&mut after, 4)?,
        };
        Some(Head { kind: POINTER, size, after })
    }

    fn number(&self, after: &mut usize, count: usize) -> Option<usize> {
        let bytes = self.bytes.get(*after..*after + count)?;
        *after += count;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }
}

/// Whether there is such a type, and it may have that size.
fn valid(kind: u8, size: usize) -> bool {
    match kind {
        // Text, bytes, map, array.
        STRING | 4 | MAP | ARRAY => true,
        // Double, float.
        3 => size == 8,
        15 => size == 4,
        // Unsigned numbers of 16, 32, 64 and 128 bits, a signed one of 32, a boolean.
        5 => size <= 2,
        6 | 8 => size <= 4,
        9 => size <= 8,
        10 => size <= 16,
        14 => size <= 1,
        _ => false,
    }
}

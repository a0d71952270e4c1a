//! Version: what an item of a global table became by one write, and which of two is the last.
//!
//! In: stamps. Out: what a PoP does about another's write. Never: a look at a clock.
//!
//! AWS's global tables of version 2019.11.21 reconcile by "last writer wins" with a hidden time of each item. Ours is a hybrid
//! logical clock: milliseconds above, a count below, moved past every stamp that was heard. So a write that knows of another
//! comes after it, whatever the clocks say; of two that do not know of each other, the later by their PoPs' clocks wins.

use super::request::Request;

/// Bits of a stamp below its milliseconds.
pub const COUNT_BITS: u32 = 16;
/// No stamp is above: the year 4199 and later are not ours.
pub const AT_MAX: u64 = (1 << 62) - 1;

/// When a write was made. The order of stamps is the order of writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Even; odd for the end of an item that expired, which comes next after the write that it ends, and before any other.
    pub at: u64,
    /// The node that took it.
    pub node: String,
}

/// What an item became.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub table: String,
    /// The table's key: "pk:S" or "pk:S,sk:N".
    pub schema: String,
    pub stamp: Stamp,
    pub content: Content,
}

/// All of it, as DynamoDB writes items.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Item(Request),
    /// It was deleted: the attributes of its key.
    Gone(Request),
}

/// A version that the other PoPs do not have yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    pub version: Version,
    /// Which item it is: partition and sort key, as the engine has them.
    pub row: [String; 2],
    /// Why it is told: 1 for a write, a message's position for what that message had older. Told twice for the same reason, it
    /// is the same message.
    pub news: u64,
}

/// What becomes of a version that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the last write.
    Apply,
    /// It is known.
    Ignore,
    /// A later one is known here, and the bus has this one in its place: the later is told again.
    Retell,
}

/// `own`: the stamp of what is here.
pub fn judge(own: Option<&Stamp>, heard: &Stamp) -> Verdict {
    match own.map(|own| own.cmp(heard)) {
        None | Some(std::cmp::Ordering::Less) => Verdict::Apply,
        Some(std::cmp::Ordering::Equal) => Verdict::Ignore,
        Some(std::cmp::Ordering::Greater) => Verdict::Retell,
    }
}

// === impl Stamp ===
impl Stamp {
    /// Milliseconds since the epoch.
    pub fn millis(&self) -> u64 {
        self.at >> COUNT_BITS
    }
}

// === impl Content ===
impl Content {
    /// Attributes, those of the key among them.
    pub fn attributes(&self) -> &Request {
        match self {
            Content::Item(attributes) | Content::Gone(attributes) => attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_wins() {
        let stamp = |at, node: &str| Stamp { at, node: node.into() };
        let heard = stamp(10, "b");
        for (own, want) in [
            (None, Verdict::Apply),
            (Some(stamp(8, "z")), Verdict::Apply),
            (Some(stamp(10, "a")), Verdict::Apply),
            (Some(stamp(10, "b")), Verdict::Ignore),
            (Some(stamp(10, "c")), Verdict::Retell),
            (Some(stamp(11, "b")), Verdict::Retell),
        ] {
            assert_eq!(judge(own.as_ref(), &heard), want, "{own:?}");
        }
    }
}

//! Reach: whether this node hears the bus, and whether purges may be missing here.
//!
//! In: where the bus is, where this node is, silence. Out: whether what is stored may be served. Never: a clock, a question to the bus.

use super::Seq;

/// What is to be done about objects that were stored before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// None of them: `MarksCell::hold`.
    Held,
    /// All that the marks let through: `MarksCell::release`.
    Released,
    /// As before.
    Unchanged,
}

/// A node begins unheard, with everything held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    connected: bool,
    /// Where the bus was when it was last reached after a silence: what is older may be purged content until this node is there.
    behind: Option<Seq>,
}

// === impl Reach ===
impl Reach {
    /// Whether the bus answers.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether a bus whose newest message is `head` is another one than that which gave `position`.
    pub fn has_forgotten(head: Seq, position: Seq) -> bool {
        head < position
    }

    /// The bus answers, for the first time or again: `head` is its newest message, `position` up to where what it had is in force here,
    /// on disk or not, after this node has begun anew where the bus has forgotten.
    pub fn reached(&mut self, head: Seq, position: Seq) -> Serve {
        self.connected = true;
        self.behind = (head != position).then_some(head);
        if self.behind.is_some() { Serve::Held } else { Serve::Released }
    }

    /// What the bus had up to `position` is in force now.
    pub fn moved(&mut self, position: Seq) -> Serve {
        if self.behind.is_some_and(|head| position >= head) {
            self.behind = None;
            return Serve::Released;
        }
        Serve::Unchanged
    }

    /// The bus is silent: this node serves from what it has. Whether it was heard before.
    pub fn cut(&mut self) -> bool {
        self.behind = None;
        std::mem::take(&mut self.connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_when() {
        let mut reach = Reach::default();
        assert_eq!((reach.is_connected(), reach.moved(Seq(9))), (false, Serve::Unchanged));
        assert_eq!(reach.reached(Seq(7), Seq(4)), Serve::Held);
        assert_eq!((reach.is_connected(), reach.moved(Seq(6))), (true, Serve::Unchanged));
        assert_eq!([reach.moved(Seq(7)), reach.moved(Seq(8))], [Serve::Released, Serve::Unchanged]);
        assert_eq!([reach.cut(), reach.cut()], [true, false]);
        assert_eq!(reach.reached(Seq(8), Seq(8)), Serve::Released, "nothing is missing");
        // Cut off while it is behind: it serves on, and is behind again once it hears the bus.
        assert_eq!(reach.reached(Seq(12), Seq(8)), Serve::Held);
        reach.cut();
        assert_eq!(reach.moved(Seq(12)), Serve::Unchanged);
        assert!(Reach::has_forgotten(Seq(3), Seq(4)) && !Reach::has_forgotten(Seq(4), Seq(4)));
    }
}

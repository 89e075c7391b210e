//! Faults that are made on purpose, to show that the explorer of orders of threads would find them; see `tests/interleave`.
//!
//! Only with the feature `interleave`. All threads of an exploration are one to the system, so a choice is one thread's.

use std::cell::Cell;

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Two nodes are held in the order in which they were named, not by rising id.
    OrderOfNaming,
    /// A directory is let go between looking whether a name is free, and taking it.
    LooksFirst,
    /// A name goes without the file being held.
    FileNotHeld,
    /// A file without a name is named, or cloned, while somebody closes it.
    OrphanNotHeld,
    /// A tree is removed without the namespace being held.
    NamespaceNotHeld,
    /// What was staged goes while it is made real.
    StageNotHeld,
    /// Several clones show what their source is when each is made real, not when they were asked for.
    InstantsApart,
}

thread_local! {
    static CHOSEN: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Does this wrong from now on, on this thread.
pub fn choose(fault: Option<Fault>) {
    CHOSEN.set(fault);
}

/// Whether this is to be done wrong.
pub(crate) fn is(fault: Fault) -> bool {
    CHOSEN.get() == Some(fault)
}

/// What is held, or nothing if that is the fault.
pub(crate) fn without<G>(fault: Fault, held: G) -> Option<G> {
    (!is(fault)).then_some(held)
}

/// What is held, let go and taken again if that is the fault.
pub(crate) fn again<G>(fault: Fault, held: G, take: impl FnOnce() -> G) -> G {
    if !is(fault) {
        return held;
    }
    drop(held);
    take()
}

//! The search for an order that explains what threads saw (linearizability): brute force over all orders in which nothing comes
//! before what had ended when it began.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What operations change, as it should be.
pub trait Model: Clone + Eq + Hash + Debug {
    /// What is asked for.
    type Op: Clone + Debug + Send + 'static;
    /// What comes of it.
    type Answer: Clone + PartialEq + Debug + Send + 'static;

    /// Does it. Where the model has no answer of its own, such as which number is given out, it takes the one that was seen.
    fn apply(&mut self, op: &Self::Op, seen: &Self::Answer) -> Self::Answer;
}

/// What a thread asked, and saw, from one instant to another.
pub struct Event<M: Model> {
    pub thread: usize,
    pub op: M::Op,
    pub answer: M::Answer,
    pub began: u64,
    pub ended: u64,
}

/// Asserts that some order leads from one state to the other and explains every answer.
pub fn assert_explained<M: Model>(start: &M, events: &[Event<M>], end: &M) {
    let (mut tried, mut open) = (HashSet::new(), vec![(0u64, start.clone())]);
    let all = (1u64 << events.len()) - 1;
    while let Some((done, state)) = open.pop() {
        if done == all && state == *end {
            return;
        }
        let left = |i: &usize| done & (1 << i) == 0;
        let remaining = (0..events.len()).filter(left);
        let first_end = remaining.clone().map(|i| events[i].ended).min();
        for i in remaining.filter(|&i| Some(events[i].began) <= first_end) {
            let (event, mut next) = (&events[i], state.clone());
            if next.apply(&event.op, &event.answer) == event.answer {
                let next = (done | 1 << i, next);
                if tried.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    let mut shown: Vec<_> = events.iter().collect();
    shown.sort_by_key(|event| event.began);
    let line = |e: &&Event<M>| {
        let (op, answer) = (&e.op, &e.answer);
        format!(
            "  thread {}, {}..{}: {op:?}: {answer:?}\n",
            e.thread, e.began, e.ended
        )
    };
    let lines: String = shown.iter().map(line).collect();
    panic!("no order explains what was seen\nfrom {start:?}\n{lines}to {end:?}");
}

/// A number that is set, and read.
#[cfg(test)]
impl Model for u32 {
    type Op = Option<u32>;
    type Answer = u32;
    fn apply(&mut self, op: &Option<u32>, _: &u32) -> u32 {
        *self = op.unwrap_or(*self);
        *self
    }
}

#[test]
fn what_has_no_order_is_told() {
    let event = |thread, op, answer, (began, ended)| Event {
        thread,
        op,
        answer,
        began,
        ended,
    };
    let explained = |reads: u32, at, end| {
        let events = [event(0, Some(1), 1, (0, 3)), event(1, None, reads, at)];
        let found = || assert_explained::<u32>(&0, &events, &end);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(found)).is_ok()
    };
    assert!(
        explained(0, (2, 5), 1) && explained(1, (2, 5), 1),
        "at the same time"
    );
    assert!(
        explained(1, (4, 5), 1) && !explained(0, (4, 5), 1),
        "afterwards"
    );
    assert!(!explained(2, (2, 5), 1), "what nobody set");
    assert!(!explained(1, (4, 5), 0), "what is there then is another");
}

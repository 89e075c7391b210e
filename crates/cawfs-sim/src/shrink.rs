//! Shrinking: makes a failing list short enough to read (delta debugging).
//!
//! Invariants: the result fails; no single element of it can be left out, unless the budget of replays ran out.
//!
//! ```text
//!  ████████████████   drop halves, quarters, ... single elements while it still fails,
//!  ██░░████░░░░████   then try simpler forms of each element,
//!  ██████             and again from the start until nothing changes
//! ```

/// Reduces `list`, for which `fails` must hold, to a short list for which it holds too.
/// `simpler` offers simpler forms of one element, best first. At most `budget` calls of `fails`.
pub fn shrink<T: Clone>(
    list: Vec<T>,
    simpler: impl Fn(&T) -> Vec<T>,
    budget: usize,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut left = budget;
    let mut try_list = |candidate: &[T]| {
        if left == 0 {
            return false;
        }
        left -= 1;
        fails(candidate)
    };
    let mut list = list;
    loop {
        let dropped = drop_chunks(&mut list, &mut try_list);
        let simplified = simplify_each(&mut list, &simpler, &mut try_list);
        if !dropped && !simplified {
            return list;
        }
    }
}

/// Leaves out chunks of falling size; says whether anything could go.
fn drop_chunks<T: Clone>(list: &mut Vec<T>, fails: &mut impl FnMut(&[T]) -> bool) -> bool {
    let before = list.len();
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        // From the back: later steps depend on earlier ones, so they go more easily.
        let mut end = list.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let candidate = [&list[..start], &list[end..]].concat();
            if fails(&candidate) {
                *list = candidate;
            }
            end = start;
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    list.len() < before
}

/// Replaces elements by simpler ones; says whether any could be.
fn simplify_each<T: Clone>(
    list: &mut [T],
    simpler: &impl Fn(&T) -> Vec<T>,
    fails: &mut impl FnMut(&[T]) -> bool,
) -> bool {
    let mut changed = false;
    for at in 0..list.len() {
        for form in simpler(&list[at]) {
            let old = std::mem::replace(&mut list[at], form);
            if fails(list) {
                changed = true;
                break;
            }
            list[at] = old;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when it holds a multiple of 7 above 20 somewhere before a multiple of 11.
    fn fails(list: &[u32]) -> bool {
        let first = list.iter().position(|n| *n > 20 && n % 7 == 0);
        first.is_some_and(|at| list[at..].iter().any(|n| n % 11 == 0 && *n > 0))
    }

    #[test]
    fn finds_the_two_elements_that_matter_and_makes_them_small() {
        let list: Vec<u32> = (1..2000).collect();
        let simpler = |n: &u32| vec![n / 2, n.saturating_sub(77), n.saturating_sub(7)];
        let short = shrink(list, simpler, 10_000, fails);
        assert!(fails(&short));
        assert!(short.len() <= 2, "{short:?}");
        for at in 0..short.len() {
            let mut without = short.clone();
            without.remove(at);
            assert!(!fails(&without), "element {at} of {short:?} is idle");
        }
    }

    #[test]
    fn an_exhausted_budget_still_gives_a_failing_list() {
        let mut calls = 0;
        let short = shrink(
            (1..500).collect(),
            |_| vec![],
            5,
            |list: &[u32]| {
                calls += 1;
                fails(list)
            },
        );
        assert!(fails(&short) && calls <= 5);
    }
}

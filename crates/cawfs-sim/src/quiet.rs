//! Catching panics of the code under test, so that an assertion in the engine is a failure like any other.
//!
//! While a shrinker replays a list hundreds of times, the same panic would print hundreds of reports;
//! inside [`catch`] this thread prints none, other threads print as ever.
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic becomes an error with its message.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| message(&*payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_with_their_message() {
        assert_eq!(catch(|| 3), Ok(3));
        assert_eq!(
            catch(|| -> u8 { panic!("of {}", "text") }),
            Err("panic: of text".to_string())
        );
        assert_eq!(
            catch(|| -> u8 { panic!("plain") }),
            Err("panic: plain".to_string())
        );
    }
}

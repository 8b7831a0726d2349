//! Panics of the user's code, caught where it is called, so that they cost what they happened in and no more.

use std::{
    any::Any,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt as _;

/// Calls the user's code; what it panicked with, in words, if it did.
///
/// # Errors
/// The words of the panic.
pub fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(told)
}

/// Awaits the user's code; what it panicked with, in words, if it did.
///
/// # Errors
/// The words of the panic.
pub async fn catch_future<F: Future>(future: F) -> Result<F::Output, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(told)
}

/// Drops something of the user's. It may be called while a panic unwinds, where another one would end the process.
///
/// # Errors
/// The words of the panic with which that ended.
pub fn discard(value: impl Sized) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(value))).err()?;
    let words = words(&*panic);
    // It may panic when it is dropped, and so on without end.
    mem::forget(panic);
    Some(words)
}

fn told(panic: Box<dyn Any + Send>) -> String {
    let words = words(&*panic);
    // What was panicked with is the user's, too.
    discard(panic);
    words
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "a value that is not a string".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }

    #[test]
    fn a_value_whose_drop_panics_without_end_does_no_harm() {
        assert_eq!(catch(|| std::panic::panic_any(Bomb)), Err::<(), _>("a value that is not a string".into()));
        assert_eq!(discard(Bomb).as_deref(), Some("a value that is not a string"));
    }

    #[test]
    fn what_is_discarded_while_a_panic_unwinds_does_not_end_the_process() {
        struct Holds(Option<Bomb>);

        impl Drop for Holds {
            fn drop(&mut self) {
                assert!(discard(self.0.take()).is_some());
            }
        }

        let panicked = catch(|| {
            let _holds = Holds(Some(Bomb));
            panic!("the first one");
        });
        assert_eq!(panicked, Err::<(), _>("the first one".into()));
    }
}

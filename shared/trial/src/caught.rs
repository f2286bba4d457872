//! Runs a future to its end, or to its panic, whose words and place are kept.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

/// How it ended.
pub(crate) enum Ended<T> {
    Returned(T),
    /// At a `todo!()` or an `unimplemented!()`: its place.
    Unfinished(String),
    /// What it said, and where.
    Panicked(String),
}

thread_local! {
    /// Whether this thread is in code that is judged.
    static JUDGING: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

struct Panic {
    said: String,
    place: String,
}

/// Panics of judged code are kept, and not printed in between the verdicts. All others are printed as ever.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match JUDGING.get() {
            true => LAST.set(Some(Panic { said: said(panic), place: place(panic) })),
            false => before(panic),
        }));
    });
}

fn said(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}

/// The file's name and the line; the path is longer than a line of a terminal.
fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(String::new, |at| {
        let file = at.file().rsplit(['/', '\\']).next().unwrap_or_default();
        format!("{file}, line {}", at.line())
    })
}

pub(crate) async fn caught<F: Future>(work: F) -> Ended<F::Output> {
    keep_panics();
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        JUDGING.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        JUDGING.set(false);
        match polled {
            Ok(polled) => polled.map(Ended::Returned),
            Err(_payload) => Poll::Ready(ended(LAST.take())),
        }
    })
    .await
}

fn ended<T>(panic: Option<Panic>) -> Ended<T> {
    let Some(Panic { said, place }) = panic else {
        return Ended::Panicked("a panic without words".to_owned());
    };
    match said.starts_with("not yet implemented") || said.starts_with("not implemented") {
        true => Ended::Unfinished(place),
        false => Ended::Panicked(format!("{place}: {said}")),
    }
}

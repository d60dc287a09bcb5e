//! One function over many specs, on all cores, in the order of the specs.
//!
//! Each spec is worked on by one thread, so that results do not depend on the number of threads. On a terminal, progress is shown
//! from the first second on.

use super::say;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Room for the recursion over bodies and expressions, whose depth is bounded.
const STACK: usize = 16 << 20;

/// `f` of every item, in order.
pub fn map<T: Send>(items: &[PathBuf], f: impl Fn(&PathBuf) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let done = (Mutex::new(0usize), Condvar::new());
    let slots: Vec<Mutex<Option<T>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let work = || {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(i) else { break };
                        let result = f(item);
                        *slots[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                        *done.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                        done.1.notify_all();
                    }
                };
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)
            })
            .collect();
        if io::stderr().is_terminal() {
            progress(&done, items.len());
        }
        for worker in workers {
            match worker.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => panic!("internal: no thread could be started: {error}"),
            }
        }
    });
    slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .map(|result| result.unwrap_or_else(|| panic!("internal: a spec was left out")))
        .collect()
}

/// Shows how many are done, from the first second until all are, or until a worker has failed and nothing moves any more.
fn progress(done: &(Mutex<usize>, Condvar), total: usize) {
    let mut shown = false;
    let mut count = done.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut idle = 0;
    while *count < total && idle < 600 {
        let before = *count;
        let wait = done.1.wait_timeout(count, Duration::from_secs(1));
        let (guard, timeout) = wait.unwrap_or_else(PoisonError::into_inner);
        count = guard;
        idle = if *count == before { idle + 1 } else { 0 };
        if timeout.timed_out() || shown {
            say(&format!("\r\u{1b}[K{} of {total} specs", *count));
            shown = true;
        }
    }
    if shown {
        say("\r\u{1b}[K");
    }
}

//! The clock of benchmarks: CPU time, which other programs on the machine disturb less than they do the clock on the wall.

use std::fs;
use std::time::Instant;

/// Seconds that a measurement lasts at least: a hundred ticks of the system's clock.
const SECONDS: f64 = 1.0;

/// CPU seconds of this process since its start, over all threads, on Linux; elsewhere those on the wall since `start`.
fn now(start: Instant) -> f64 {
    let ticks = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        // The name of the program may hold blanks; time in the program and in the system are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    ticks.map_or_else(|| start.elapsed().as_secs_f64(), |ticks| ticks / 100.0)
}

/// CPU seconds of one piece of work: the mean of as many runs as fill a second, behind one that is not counted.
pub fn cpu_seconds<T>(mut work: impl FnMut() -> T) -> f64 {
    drop(work());
    let start = Instant::now();
    let mut runs = 1u32;
    loop {
        let before = now(start);
        (0..runs).for_each(|_| drop(work()));
        let seconds = now(start) - before;
        if seconds >= SECONDS {
            return seconds / f64::from(runs);
        }
        runs *= 2;
    }
}

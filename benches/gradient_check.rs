//! What a gradient check takes beside PyTorch's: `PEERS_PYTHON=/path/to/python cargo bench --bench gradient_check`.
//!
//! The interpreter needs numpy and PyTorch; without them the column of the peer stays empty. For each spec of `specs/bench`:
//!
//! - *one point*: CPU seconds for every component at one random initialisation, ledger and random directions included, beside
//!   `torch.autograd.gradcheck` in its slow mode on the same weights and rows, in CPU seconds and on one thread. The same run compares PyTorch's
//!   loss and gradients with ours through `--against`, so that both are known to check one function.
//! - *process*: seconds on the clock for `wellposed gradcheck SPEC` as a whole, with all its initialisations and levels.
//!
//! Then the models that are too large for every component: ledger, purity and random directions.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/python.rs"]
mod python;

use clock::cpu_seconds;
use python::{SCRIPT, has, python};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wellposed::data;
use wellposed::exec::Registry;
use wellposed::graph::Runnable;
use wellposed::pipeline::compile;
use wellposed::source::Loader;
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Options, check};

/// Specs, rows in the batch, and how many times faster than the peer they are to be.
const MODELS: [(&str, usize, Option<f64>); 6] = [
    ("mlp_tiny", 8, None),
    ("mlp_digits", 32, Some(100.0)),
    ("cnn_digits", 16, Some(100.0)),
    ("mlp_big", 32, Some(100.0)),
    ("mlp_deep20", 32, Some(20.0)),
    ("transformer_block", 2, Some(30.0)),
];

/// The disk.
struct Disk;

impl Loader for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(File::open(path)?))
    }
}

/// CPU seconds of a check of one point, with so many components of each tensor.
fn one_point(path: &str, batch: usize, components: Option<usize>) -> f64 {
    let compiled = compile(Path::new(path), &Disk).unwrap_or_else(|found| panic!("{found:?}"));
    let graph = Runnable::new(&compiled.graph).unwrap_or_else(|| panic!("{path} is whole"));
    let fitted = compiled.graph.data.as_ref().map(|plan| data::fit(plan, &Disk).0).unwrap_or_default();
    let samples = match Samples::load(&compiled.graph, &fitted, batch, &Disk) {
        Ok(samples) => samples.unwrap_or_else(|| Samples::draw(&compiled.graph, batch, 0)),
        Err(found) => panic!("{found:?}"),
    };
    let options =
        Options { seeds: vec![0], steps: 0, scales: Vec::new(), batch, components, ..Options::default() };
    cpu_seconds(|| {
        let report = check(graph, &samples, &options, &Registry);
        // The bias of the keys has no derivative, which is VACUOUS.
        assert!(!report.verdict.is_bad(), "{report:#?}");
        assert!(components.is_some() || report.method == "every component", "{}", report.method);
    })
}

/// Seconds on the clock of `wellposed gradcheck SPEC`, and the most memory that it held, in GB.
fn process(path: &str) -> (f64, f64) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(["gradcheck", path])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0.0f64;
    loop {
        let kilobytes = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        });
        most = most.max(kilobytes.unwrap_or(0.0));
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            assert!(status.success(), "{path}");
            return (start.elapsed().as_secs_f64(), most * 1024e-9);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// CPU seconds of the peer's check on the same weights and rows.
fn peer(path: &str, batch: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(["gradcheck", path, "--seeds", "0", "--steps", "0", "--time-limit", "1200"])
        .args(["--batch", &batch.to_string()])
        .args(["--against", &format!("'{}' '{SCRIPT}' gradcheck", python())])
        .arg("--keep")
        .arg(folder.path())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the peer computes another function:\n{said}");
    let answer = fs::read(folder.path().join("peer.json")).expect("the peer leaves its time");
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("the peer writes JSON");
    assert_eq!(answer["passed"], true, "{answer}");
    answer["cpu_seconds"].as_f64().expect("a number")
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]
fn main() {
    let compared = has("torch");
    println!(
        "{:<20} {:>5} {:>14} {:>14} {:>9} {:>8} {:>10}",
        "", "batch", "one point, s", "torch slow, s", "ratio", "wanted", "process, s"
    );
    for (name, batch, wanted) in MODELS {
        let path = format!("specs/bench/{name}.nn");
        let ours = one_point(&path, batch, None);
        let theirs = compared.then(|| peer(&path, batch));
        let [theirs, ratio] = [theirs, theirs.map(|theirs| theirs / ours)];
        let number = |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
        println!(
            "{name:<20} {batch:>5} {ours:>14.4} {:>14} {:>9} {:>8} {:>10.2}",
            number(theirs, 2),
            number(ratio, 0),
            number(wanted, 0),
            process(&path).0
        );
    }
    println!("\nledger, purity and random directions at one point");
    println!(
        "cnn_million          {:.2} CPU s (wanted: below 2)",
        one_point("specs/bench/cnn_million.nn", 8, Some(0))
    );
    let (seconds, memory) = process("benches/mlp_hundred_million.nn");
    println!("mlp_hundred_million  {seconds:.1} s as a whole, {memory:.2} GB (wanted: below 60 and 5)");
}

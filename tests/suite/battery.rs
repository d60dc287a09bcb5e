//! The laws on the specs of the repository, with their own rows and many base seeds: no sound model is accused.
//!
//! `thousand` runs a thousand base seeds over the quickstart and the corpus and prints how many of each law's tests passed; the suite runs a
//! twentieth of that. `profile` prints what each law costs over all specs.

use crate::support::{Memory, specs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use wellposed::diag::Severity;
use wellposed::graph::Runnable;
use wellposed::pipeline::{Compiled, compile};
use wellposed::valid::properties::{ALL, Fault, Options, Report, Subject, Verdict, run, run_one};
use wellposed::valid::{self, STEP_LIMIT, Samples, rows};

/// A spec that is ready to be run, on its own rows; `None` for one that has errors or is too large.
fn ready(path: &Path) -> Option<(Compiled, Samples)> {
    let loader = Memory::default();
    let compiled = compile(path, &loader).expect("the spec is there");
    let graph = &compiled.graph;
    Runnable::new(graph).filter(|_| !compiled.found.iter().any(|d| d.severity == Severity::Error))?;
    if valid::step_cost(graph, 8) > STEP_LIMIT {
        return None;
    }
    let (statistics, _) = graph.data.as_ref().map(|plan| rows::check(plan, &loader)).unwrap_or_default();
    let samples = Samples::load(graph, &statistics, 256, &loader).expect("the rows can be read");
    let samples = samples.unwrap_or_else(|| Samples::draw(graph, 256, 0));
    Some((compiled, samples))
}

fn battery(compiled: &Compiled, samples: &Samples, seed: u64) -> Vec<Report> {
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let subject = Subject { graph: &compiled.graph, runnable, samples };
    run(subject, &Options { seed, ..Options::default() })
}

/// How often each law came to each verdict, and the false alarms.
#[derive(Default)]
struct Tally {
    laws: BTreeMap<&'static str, [usize; 4]>,
    cases: usize,
    runs: BTreeMap<PathBuf, usize>,
    alarms: Vec<String>,
}

impl Tally {
    fn count(&mut self, path: &Path, seed: u64, reports: &[Report]) {
        *self.runs.entry(path.to_owned()).or_default() += 1;
        for report in reports {
            self.cases += report.cases;
            self.laws.entry(report.name).or_default()[report.verdict as usize] += 1;
            if report.verdict == Verdict::Fail {
                self.alarms.push(format!(
                    "{} seed {seed}: {}: {}",
                    path.display(),
                    report.name,
                    report.detail
                ));
            }
        }
    }
}

/// Runs base seeds 0, 1000, 2000, ... of each spec until there are as many as asked for or its time is up, on two threads. Says of each spec how many
/// there were.
fn many(jobs: &[(PathBuf, u64, Duration)], said: &(dyn Fn(usize, &Path) + Sync)) -> Tally {
    let (tally, next) = (Mutex::new(Tally::default()), Mutex::new(jobs.iter()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let job = next.lock().expect("no thread panics").next();
                    let Some((path, seeds, patience)) = job else { break };
                    let Some((compiled, samples)) = ready(path) else { continue };
                    let (start, mut done) = (Instant::now(), 0);
                    for seed in (0..*seeds).map(|i| i * 1000) {
                        if seed > 0 && start.elapsed() > *patience {
                            break;
                        }
                        let reports = battery(&compiled, &samples, seed);
                        tally.lock().expect("no thread panics").count(path, seed, &reports);
                        done += 1;
                    }
                    said(done, path);
                }
            });
        }
    });
    tally.into_inner().expect("no thread panics")
}

const FOREVER: Duration = Duration::from_secs(u64::MAX);

/// A thousand base seeds: 200 of each of the five quickstart specs, and of every spec of `specs/deep`, `specs/good` and `specs/bench` as many as three seconds
/// allow, at least one and at most 200.
#[test]
#[ignore = "about twenty minutes: `cargo test --release --locked --test suite thousand -- --ignored --nocapture`"]
fn thousand() {
    let quick = specs("specs/quickstart");
    let each = 1000u64.div_ceil(quick.len() as u64);
    let mut jobs: Vec<_> = quick.into_iter().map(|path| (path, each, FOREVER)).collect();
    let corpus = ["specs/deep", "specs/good", "specs/bench"].into_iter().flat_map(specs);
    jobs.extend(corpus.map(|path| (path, each, Duration::from_secs(3))));
    let tally = many(&jobs, &|seeds, path| println!("{seeds:4} base seeds of {}", path.display()));
    println!("| law | PASS | INCONCLUSIVE | SKIPPED | FAIL |\n| --- | --- | --- | --- | --- |");
    for law in ALL {
        let [pass, skipped, unsure, fail] = tally.laws[law.name];
        println!("| `{}` | {pass} | {unsure} | {skipped} | {fail} |", law.name);
    }
    let runs: usize = tally.runs.values().sum();
    println!("{runs} base seeds, {} cases, {} false alarms", tally.cases, tally.alarms.len());
    assert!(tally.alarms.is_empty(), "{:#?}", tally.alarms);
    assert!(runs >= 1000);
}

/// A twentieth of it: ten base seeds of each quickstart spec.
#[test]
fn sound_specs_are_not_accused() {
    let jobs: Vec<_> = specs("specs/quickstart").into_iter().map(|path| (path, 10, FOREVER)).collect();
    let tally = many(&jobs, &|_, _| ());
    assert!(tally.alarms.is_empty(), "{:#?}", tally.alarms);
    assert!(tally.runs.values().sum::<usize>() >= 50, "{:?}", tally.runs);
    for law in ["translation", "normalised", "keep-all", "dropout"] {
        assert!(tally.laws[law][Verdict::Pass as usize] > 0, "{law} said nothing");
    }
}

/// Rows that pull in opposite directions, so that every gradient is a rest of rounding: one of each class at inputs of zero, and two targets on both
/// sides of one prediction.
#[test]
fn gradients_that_cancel_are_compared_with_what_they_add_up() {
    for (path, case) in [
        ("specs/quickstart/iris.nn.yaml", "duplicated-batch:seed=179195,batch=3,scale=1e0,rows=zeros"),
        ("specs/quickstart/diabetes.nn", "duplicated-batch:seed=393991,batch=2,scale=1e0,rows=repeated"),
    ] {
        let (compiled, samples) = ready(Path::new(path)).expect("a sound spec");
        let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
        let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
        let replay = Some(case.parse().expect("a case"));
        let reports = run(subject, &Options { replay, ..Options::default() });
        assert_eq!(reports[0].verdict, Verdict::Pass, "{path}: {reports:?}");
    }
}

/// Statistics of other rows, and a way back that loses digits, are seen.
#[test]
fn columns_that_are_not_what_a_step_is_for_are_found() {
    let loader = Memory::default();
    for (path, step) in
        [("specs/quickstart/digits.nn", "standardize"), ("specs/quickstart/diabetes.nn", "standardize")]
    {
        let compiled = compile(Path::new(path), &loader).expect("the spec is there");
        let graph = &compiled.graph;
        let plan = graph.data.as_ref().expect("it reads rows");
        let (statistics, _) = rows::check(plan, &loader);
        let law = |samples: &Samples| {
            let runnable = Runnable::new(graph).expect("a complete graph");
            let subject = Subject { graph, runnable, samples };
            run_one("normalised", subject, &Options::default(), Fault::default()).expect("a law")
        };
        let sound = Samples::load(graph, &statistics, 256, &loader).expect("rows").expect("rows");
        assert_eq!(law(&sound).verdict, Verdict::Pass, "{path}: {:?}", law(&sound));
        for spoil in [1.0 + 1e-9, 0.5] {
            let text = statistics.to_text();
            let mut edited = wellposed::data::Statistics::parse(&text).expect("it was written");
            for group in edited.groups.values_mut() {
                for fitted in &mut group.steps {
                    if let wellposed::data::Fitted::Standardize { scale, .. } = fitted {
                        scale.iter_mut().for_each(|s| *s *= spoil);
                    }
                }
            }
            let found = law(&Samples::load(graph, &edited, 256, &loader).expect("rows").expect("rows"));
            assert_eq!(found.verdict, Verdict::Fail, "{path}, {spoil}: {found:?}");
            assert!(found.detail.contains(step), "{found:?}");
        }
        if let Some(at) = sound.chains.iter().position(|chain| chain.back.is_some()) {
            let mut lossy = sound.clone();
            lossy.chains[at].back.iter_mut().for_each(|back| back.error = 1e-6 * back.most);
            let found = law(&lossy);
            assert!(found.verdict == Verdict::Fail && found.detail.contains("comes back"), "{found:?}");
        }
    }
}

/// What each law costs over all specs.
#[test]
#[ignore = "a table, for `cargo test --release --test suite battery::profile -- --ignored --nocapture`"]
fn profile() {
    let mut spent: BTreeMap<&str, (Duration, Duration, PathBuf)> = BTreeMap::new();
    let mut total = Duration::ZERO;
    for path in specs("specs") {
        let Some((compiled, samples)) = ready(&path) else { continue };
        let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
        let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
        let start = Instant::now();
        let _ = run(subject, &Options::default());
        total += start.elapsed();
        for law in ALL {
            let start = Instant::now();
            let _ = run_one(law.name, subject, &Options::default(), Fault::default());
            let (all, most, worst) = spent.entry(law.name).or_default();
            let here = start.elapsed();
            *all += here;
            if here > *most {
                (*most, *worst) = (here, path.clone());
            }
        }
    }
    println!("| law | seconds by itself | most | on |\n| --- | --- | --- | --- |");
    for (law, (all, most, worst)) in &spent {
        println!("| `{law}` | {:.2} | {:.2} | {} |", all.as_secs_f64(), most.as_secs_f64(), worst.display());
    }
    println!("{:.1} s for all laws together, which share runs", total.as_secs_f64());
}

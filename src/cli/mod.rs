//! The command line: one command a file.
//!
//! Contract: all file access and all printing of the program happen here. Reports go to stdout, progress and failures to run to
//! stderr. Exit code 0: nothing was found; 1: an error, a FAIL verdict, a changed snapshot or an unmet `expect` (warnings, too, with
//! `--deny-warnings`); 2: the command could not run.

mod against;
mod check;
mod convert;
mod disk;
mod expand;
mod explain;
mod gradcheck;
mod mend;
mod parallel;
mod record;
mod report;
mod rules;
mod run;
mod schema;
mod show;
mod signal;
mod snapshot;
mod stats;
mod validate;
mod weights;

use crate::diag::Diagnostics;
use crate::diag::render::Look;
use crate::graph::Runnable;
use crate::pipeline::{self, Stages};
use crate::report::format::{self, Format};
use crate::report::{Partition, Report, SpecReport};
use crate::source::Sources;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tells you before training whether the optimisation problem you wrote down is well posed.
#[derive(Debug, Parser)]
#[command(name = "wellposed", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// What every command understands.
#[derive(Clone, Copy, Debug, Args)]
pub struct Global {
    /// How findings are shown.
    #[arg(long, value_enum, default_value = "full", global = true)]
    format: FormatName,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value = "auto", global = true)]
    color: Color,
    /// Exit with 1 on warnings, too.
    #[arg(long, global = true)]
    deny_warnings: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Full,
    Concise,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do everything: static checks, data, gradients, properties, snapshot.
    Validate(validate::Arguments),
    /// Check specs statically, without reading rows or running anything.
    Check(check::Arguments),
    /// Check every gradient by two-sided differences, ours or those of a program of your own.
    Gradcheck(gradcheck::Arguments),
    /// Compare the compiled graph with the reviewed snapshot, or accept it.
    Snapshot(snapshot::Arguments),
    /// Show the nodes with shapes, parameters, predicted and measured scale.
    Show(show::Arguments),
    /// Fit the statistics of the data, or compare them with the stored ones.
    Stats(stats::Arguments),
    /// Print a spec in the other notation.
    Convert(convert::Arguments),
    /// Print a spec with every default argument written out.
    Expand(expand::Arguments),
    /// Print the JSON Schema of the YAML notation.
    Schema(schema::Arguments),
    /// Draw the weights of a model into a safetensors file.
    Weights(weights::Arguments),
    /// Run a model on stored weights and inputs; write loss, output and gradients.
    Run(run::Arguments),
    /// Join JSON reports.
    Report(report::Arguments),
    /// Explain a rule, an op, an initialiser, a transform or a law.
    Explain(explain::Arguments),
    /// List every rule with its code, name and severity.
    Rules(rules::Arguments),
}

/// Specs that a command works on.
#[derive(Clone, Debug, Args)]
pub struct Specs {
    /// Spec files, or folders that are searched for `.nn` and `.nn.yaml`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Why a command could not run.
#[derive(Debug)]
pub struct Failure(String);

impl<S: Into<String>> From<S> for Failure {
    fn from(message: S) -> Self {
        Self(message.into())
    }
}

type Outcome = Result<u8, Failure>;

/// Runs the program on the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, global } = Cli::parse();
    let outcome = match command {
        Command::Validate(arguments) => validate::run(&arguments, global),
        Command::Check(arguments) => check::run(&arguments, global),
        Command::Gradcheck(arguments) => gradcheck::run(&arguments, global),
        Command::Snapshot(arguments) => snapshot::run(&arguments, global),
        Command::Show(arguments) => show::run(&arguments, global),
        Command::Stats(arguments) => stats::run(&arguments, global),
        Command::Convert(arguments) => convert::run(&arguments, global),
        Command::Expand(arguments) => expand::run(&arguments, global),
        Command::Schema(arguments) => Ok(schema::run(&arguments)),
        Command::Weights(arguments) => weights::run(&arguments, global),
        Command::Run(arguments) => run::run(&arguments, global),
        Command::Report(arguments) => report::run(&arguments, global),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments, global),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Failure(message)) => {
            say(&format!("wellposed: {message}\n"));
            ExitCode::from(2)
        }
    }
}

impl Global {
    fn look(self) -> Look {
        let colour = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Look { colour, ..Look::PLAIN }
    }

    fn format(self) -> Format {
        match self.format {
            FormatName::Full => Format::Full,
            FormatName::Concise => Format::Concise,
            FormatName::Json => Format::Json,
        }
    }

    /// Prints a report and says how the program is to exit.
    fn finish(self, report: &Report) -> u8 {
        print(&format::render(report, self.format(), self.look()));
        report.exit_code(self.deny_warnings)
    }
}

/// Runs stages of the pipeline on all specs, on all cores.
fn over(
    specs: &[PathBuf],
    stages: Stages,
    options: impl Fn(&Path) -> pipeline::Options + Sync,
) -> Vec<SpecReport> {
    parallel::map(specs, |path| pipeline::run(path, stages, &options(path), &disk::Disk))
}

/// Runs stages of the pipeline on all specs of a share, and compares those of one model that are named one by one. A named spec of another
/// share is compiled and not reported: it is what those of this share are compared with.
fn together(
    specs: &Specs,
    share: Option<Partition>,
    stages: Stages,
    options: impl Fn(&Path) -> pipeline::Options + Sync,
) -> Result<Vec<SpecReport>, Failure> {
    let inside = |path: &Path| share.is_none_or(|share| share.holds(path));
    let mut found = specs.find()?;
    found.retain(|path| inside(path) || specs.names(path));
    let mut examined = parallel::map(&found, |path| {
        let stages = if inside(path) { stages } else { Stages::default() };
        pipeline::examine(path, stages, &options(path), &disk::Disk)
    });
    let named = examined.iter_mut().zip(&found).filter(|(_, path)| specs.names(path));
    let mut named: Vec<&mut pipeline::Examined> = named.map(|(examined, _)| examined).collect();
    pipeline::compare(&mut named, &disk::Disk);
    let ours = examined.into_iter().zip(&found).filter(|(_, path)| inside(path));
    Ok(ours.map(|(examined, _)| examined.conclude()).collect())
}

/// Compiles the spec of a command that needs a complete graph; what is wrong with it is reported, and the exit code returned.
fn runnable(path: &Path, global: Global) -> Result<Result<pipeline::Compiled, u8>, Failure> {
    let compiled = pipeline::compile(path, &disk::Disk)
        .map_err(|finding| Failure(format!("{}: {}", path.display(), finding.message)))?;
    if Runnable::new(&compiled.graph).is_some() && !compiled.graph.partial {
        return Ok(Ok(compiled));
    }
    let specs = over(&[path.to_owned()], Stages::default(), |_| pipeline::Options::default());
    global.finish(&Report::new(specs));
    Ok(Err(1))
}

/// Reports what is wrong with the files of a command; exit code 1.
fn refuse(path: &Path, found: Diagnostics, global: Global) -> u8 {
    let mut report = SpecReport::new(path.display().to_string(), Sources::default(), found);
    report.found.sort();
    global.finish(&Report::new(vec![report]))
}

/// Writes to stdout. A reader that has gone away, as `head` does, is no mistake.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

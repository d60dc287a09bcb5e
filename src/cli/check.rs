//! `wellposed check`: the static rules, and the fixes that they propose.

use super::{Failure, Global, Outcome, Specs, disk, mend, parallel, print, say, together};
use crate::graph::difference;
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use crate::text::plural;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are those of the command line")]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// Look for matters of taste, too: the rules that `rules` lists as style.
    #[arg(long)]
    style: bool,
    /// Write the fixes that keep what the author meant into the specs, and report what is left.
    #[arg(long)]
    fix: bool,
    /// With `--fix` or `--diff`: the fixes that change the model, its weights or its training, too.
    #[arg(long)]
    unsafe_fixes: bool,
    /// Print what `--fix` would change and write nothing; exit 1 if there is something.
    #[arg(long, conflicts_with = "fix")]
    diff: bool,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { specs, style, fix, unsafe_fixes, diff } = arguments;
    let found = specs.find()?;
    let stages = Stages { style: *style, ..Stages::default() };
    if *unsafe_fixes && !(*fix || *diff) {
        return Err("--unsafe-fixes goes with --fix, which writes, or --diff, which shows".into());
    }
    if *fix || *diff {
        let mended: Vec<Option<mend::Mended>> =
            parallel::map(&found, |path| mend::mended(path, stages, *unsafe_fixes, &disk::Disk));
        let mended: Vec<(&PathBuf, mend::Mended)> =
            found.iter().zip(mended).filter_map(|(path, mended)| Some((path, mended?))).collect();
        if *diff {
            return Ok(show(&mended));
        }
        write(&mended)?;
    }
    let specs = together(specs, None, stages, |_| Options::default())?;
    Ok(global.finish(&Report::new(specs)))
}

fn show(mended: &[(&PathBuf, mend::Mended)]) -> u8 {
    for (path, mended) in mended {
        let shown = path.display();
        print(&format!("--- {shown}\n+++ {shown}\n{}\n\n", difference(&mended.before, &mended.after)));
    }
    u8::from(!mended.is_empty())
}

fn write(mended: &[(&PathBuf, mend::Mended)]) -> Result<(), Failure> {
    let mut fixes = 0;
    for (path, mended) in mended {
        disk::write(path, mended.after.as_bytes())?;
        fixes += mended.fixes;
    }
    let count = if fixes == 1 { "1 fix".to_owned() } else { format!("{fixes} fixes") };
    say(&format!("{count} written into {}\n", plural(mended.len(), "spec")));
    Ok(())
}

//! `wellposed explain`: the manual.

use super::{Failure, Outcome, print};
use crate::args::Default;
use crate::diag::{did_you_mean, undent};
use crate::front::properties::{self as kinds, Kind};
use crate::lower;
use crate::manual::Callable;
use crate::ops;
use crate::pipeline::{callables, catalogue};
use crate::valid::{against, declared, gradcheck, properties, structure};
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A code (`I001`), a name (`mismatched-gain`, `conv2d`, `he_normal`, `standardize`, `finite`), or a list: `rules`, `ops`, `inits`,
    /// `transforms`, `laws`, `properties`; `gradcheck` is how gradients are checked and what the verdicts mean, `against` the protocol of `gradcheck --against`, `activation` and `loss` are functions of your own, `tie` is how layers share a weight, `property` is the section of that name, `structure` what a range of a parameter promises.
    topic: String,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let topic = arguments.topic.as_str();
    print(&page(topic)?);
    Ok(0)
}

/// The page of a topic.
///
/// # Errors
/// If there is no such topic.
pub fn page(topic: &str) -> Result<String, Failure> {
    let list = |groups: &dyn Fn(&str) -> bool| -> String {
        let members: Vec<&Callable> = callables().filter(|callable| groups(callable.group)).collect();
        let width = members.iter().map(|callable| callable.name.len()).max().unwrap_or(0);
        members
            .iter()
            .map(|callable| format!("{:<width$}  {}\n", callable.name, callable.summary()))
            .collect()
    };
    match topic {
        "rules" => return Ok(rules()),
        "inits" => return Ok(list(&|group| group == "initialiser")),
        "transforms" => return Ok(list(&|group| group == "transform")),
        "ops" => return Ok(list(&|group| !["initialiser", "transform"].contains(&group))),
        "laws" => {
            let line = |law: &properties::Law| {
                let page = undent(law.page);
                format!("{:<18}  {}\n", law.name, page.lines().next().unwrap_or_default())
            };
            return Ok(properties::ALL.iter().map(line).collect());
        }
        "properties" => {
            let line = |kind: &Kind| format!("{:<12}  {}\n", kind.name, kind.summary);
            return Ok(kinds::ALL.iter().map(line).collect());
        }
        "property" => return Ok(format!("{}\n", undent(declared::PAGE))),
        "structure" => return Ok(format!("{}\n", undent(structure::PAGE))),
        "gradcheck" => {
            return Ok(format!("{}\n\n{}\n", undent(gradcheck::PAGE), undent(gradcheck::VERDICTS)));
        }
        "activation" => return Ok(format!("{}\n", undent(ops::ACTIVATION_PAGE))),
        "loss" => return Ok(format!("{}\n", undent(ops::LOSS_PAGE))),
        "against" => return Ok(format!("{}\n", undent(against::PAGE))),
        "tie" => return Ok(format!("{}\n", undent(lower::TIE_PAGE))),
        _ => {}
    }
    if let Some(rule) = catalogue().iter().find(|rule| rule.code == topic || rule.name == topic) {
        let from = if rule.research.is_empty() {
            String::new()
        } else {
            format!(", from {}", rule.research.join(", "))
        };
        let off = if rule.style { " (off; look with `check --style`)" } else { "" };
        let grade = rule.grade();
        return Ok(format!("{} {}: {grade}{off}{from}\n\n{}\n", rule.code, rule.name, rule.page()));
    }
    if let Some(callable) = callables().find(|callable| callable.name == topic) {
        return Ok(format!(
            "{}: {}\n\n{}\n{}",
            callable.name,
            callable.group,
            callable.markdown(),
            signature(callable)
        ));
    }
    if let Some(law) = properties::ALL.iter().find(|law| law.name == topic) {
        return Ok(format!("{}: a property of every initialisation\n\n{}\n", law.name, undent(law.page)));
    }
    if let Some((name, page)) = declared::PAGES.iter().find(|(name, _)| *name == topic) {
        return Ok(format!("{name}: a property that a spec can declare\n\n{}\n", undent(page)));
    }
    let rules = catalogue();
    let known = rules.iter().flat_map(|rule| [rule.code, rule.name]);
    let known = known.chain(callables().map(|c| c.name)).chain(properties::ALL.iter().map(|law| law.name));
    let known = known.chain(kinds::ALL.iter().map(|kind| kind.name));
    let known = known.chain(["gradcheck", "against", "activation", "loss", "property", "structure", "tie"]);
    let near = did_you_mean(topic, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Err(format!(
        "there is no page `{topic}`{near} (lists: rules, ops, inits, transforms, laws, properties; pages: gradcheck, against, activation, loss, property, structure, tie)"
    )
    .into())
}

/// A line for each rule.
pub fn rules() -> String {
    catalogue()
        .iter()
        .map(|rule| format!("{}  {:<8} {:<26} {}\n", rule.code, rule.grade(), rule.name, rule.summary()))
        .collect()
}

fn signature(callable: &Callable) -> String {
    if callable.signature.is_empty() {
        return String::new();
    }
    let mut out = "\n## Arguments\n\n".to_owned();
    for param in callable.signature {
        let default = match param.default {
            Default::Required => String::new(),
            Default::Absent => " (may be left out)".to_owned(),
            Default::Is(text) => format!(" = {text}"),
        };
        out.push_str(&format!("- `{}{default}`: {}; {}\n", param.name, param.doc, param.kind));
    }
    out
}

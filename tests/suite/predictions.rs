//! What a model answers, against what its target went through: every branch of `scaled-prediction`.

use crate::support::Memory;
use std::path::Path;
use wellposed::diag::{Diagnostic, Severity};
use wellposed::pipeline::{Compiled, compile};

const DATA: &str = "a,b,t,u\n1,10,5,2\n2,20,8,3\n3,60,2,9\n";

/// A regression with targets `y` and `z` of these chains.
fn answered(y: &str, z: &str, loss: &str, predict: &str) -> Compiled {
    let text = format!(
        "spec 1\nmodel m\ndata {{\n  train csv(\"d.csv\")\n  x numeric(a, b) |> standardize(fit=train)\n  y target(t){y}\n  \
         z target(u){z}\n}}\nnet {{\n  h: linear(4, init=he_normal) <- x\n     relu\n  out: linear(1, init=lecun_normal)\n  \
         dup: linear(1, init=lecun_normal) <- h.relu\n  both: concat <- out, dup\n}}\ntrain {{ loss {loss}  predict {predict} }}\n"
    );
    let files = Memory::of("m.nn", text).and("d.csv", DATA);
    compile(Path::new("m.nn"), &files).expect("a spec")
}

fn findings(compiled: &Compiled) -> Vec<&Diagnostic> {
    compiled.found.iter().filter(|d| d.rule.code == "D009").collect()
}

/// The text below a finding and below its labels.
fn underlined(compiled: &Compiled, finding: &Diagnostic) -> Vec<String> {
    let text = &compiled.sources.file(compiled.file).text;
    let labels = finding.labels.iter().map(|label| label.span);
    finding.span().into_iter().chain(labels).map(|span| text[span.range()].to_owned()).collect()
}

const SCALED: &str = " |> standardize(fit=train)";

#[test]
fn the_chain_of_another_target_is_not_the_one_to_undo() {
    for z in ["", SCALED, " |> minmax(fit=train)"] {
        let compiled = answered(SCALED, z, "mse(out, y)", "unscale(out, z)");
        let found = findings(&compiled);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].message, "`out` is undone with the chain of `z`, and was trained against `y`");
        assert_eq!(found[0].severity, Severity::Error);
        let places = underlined(&compiled, found[0]);
        assert!(
            places.contains(&"z".to_owned()) && places.contains(&"standardize(fit=train)".to_owned()),
            "{places:?}"
        );
        let fix = found[0].fix.as_ref().expect("one word is wrong");
        assert_eq!((fix.edits.len(), fix.edits[0].text.as_str()), (1, "y"));
    }
    // Against the target that it was trained against, or where nothing was trained against it, there is nothing to say.
    assert!(findings(&answered(SCALED, SCALED, "mse(out, y)", "unscale(out, y)")).is_empty());
    assert!(findings(&answered(SCALED, SCALED, "mse(dup, z)", "unscale(out, y)")).is_empty());
}

#[test]
fn what_clip_has_made_equal_cannot_be_undone() {
    for (chain, bad) in [
        (" |> clip(3, 6)", true),
        (" |> clip(3, 6) |> standardize(fit=train)", true),
        (" |> standardize(fit=train) |> clip(-1, 1)", true),
        (" |> log1p |> standardize(fit=train) |> scale(2)", false),
        (" |> minmax(fit=train)", false),
    ] {
        let compiled = answered(chain, "", "mse(out, y)", "unscale(out, y)");
        let found = findings(&compiled);
        assert_eq!(found.len(), usize::from(bad), "{chain}: {found:?}");
        if let Some(found) = found.first() {
            assert!(
                found.message.starts_with("`clip(") && found.message.ends_with("of `y` cannot be undone"),
                "{found:?}"
            );
            let places = underlined(&compiled, found);
            assert!(places[0].starts_with("clip(") && places.contains(&"y".to_owned()), "{places:?}");
        }
    }
    // The clip of another target is found where that chain is undone; both mistakes are said.
    let both = answered(SCALED, " |> clip(3, 6)", "mse(out, y)", "unscale(out, z)");
    assert_eq!(findings(&both).len(), 2);
}

#[test]
fn an_answer_is_scaled_if_its_target_was() {
    for (chain, bad) in [
        ("", false),
        (" |> impute(0)", false),
        (SCALED, true),
        (" |> minmax(fit=train)", true),
        (" |> scale(1/100)", true),
        (" |> log1p", true),
        (" |> clip(3, 6)", true),
    ] {
        let found = answered(chain, "", "mse(out, y)", "out");
        let found = findings(&found);
        assert_eq!(found.len(), usize::from(bad), "{chain}: {found:?}");
        if let Some(found) = found.first() {
            assert_eq!(found.fix.as_ref().map(|fix| fix.edits[0].text.as_str()), Some("unscale(out, y)"));
        }
    }
    assert!(
        findings(&answered(SCALED, "", "mse(out, y)", "dup")).is_empty(),
        "no target says anything of it"
    );
}

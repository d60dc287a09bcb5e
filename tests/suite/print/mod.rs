//! Printing: what is printed parses to the same tree, in both notations.
use crate::support::{notation, parsed, specs};
use wellposed::diag::suppress::Notation;
use wellposed::front::print;
#[test]
fn look() {
    for path in specs("specs").into_iter().chain(specs("tests")) {
        let text = std::fs::read_to_string(&path).expect("a spec");
        let (spec, sources, found) = parsed(&text, notation(&path));
        if found.has_errors() {
            continue;
        }
        println!(
            "=== {}\n{}--- yaml\n{}",
            path.display(),
            print::dsl(&spec, &sources),
            print::yaml(&spec, &sources)
        );
        for n in [Notation::Dsl, Notation::Yaml] {
            let t =
                if n == Notation::Dsl { print::dsl(&spec, &sources) } else { print::yaml(&spec, &sources) };
            let (again, s2, found) = parsed(&t, n);
            println!(
                "{:?} equal {} errors {}",
                n,
                again == spec,
                wellposed::diag::render::concise(&found, &s2)
            );
        }
    }
}

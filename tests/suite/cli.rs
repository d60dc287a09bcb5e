//! The program as its users run it: output, exit codes, files.

use std::path::Path;
use std::process::{Command, Output};
use wellposed::exec::files::{Elements, Stored, read, write};

pub fn wellposed(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CI")
        .output()
        .expect("the program runs")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub const CLEAN: &str = "spec 1
model m()
input x: f64[B, 20]
target y: class(4)
net {
  a: linear(32, init=he_normal)
     relu
  c: linear(4, init=xavier_normal)
}
train { loss cross_entropy(c, y)  adam(lr=1e-3) }
";

/// A folder with one spec.
pub fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), text).expect("a file");
    folder
}

#[test]
fn a_clean_spec_exits_with_0_and_one_line_of_summary() {
    let folder = folder("m.nn", CLEAN);
    let output = wellposed(&["validate", "m.nn"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = stdout(&output);
    assert!(text.contains("m.nn  m, 804 parameters\n"), "{text}");
    assert!(text.contains("gradients   PASS "), "{text}");
    assert!(text.ends_with("1 spec: 0 errors, 0 warnings, 1 snapshot missing\n"), "{text}");
    assert_eq!(stderr(&output), "", "quiet where no one watches");
}

#[test]
fn findings_exit_with_1_and_what_cannot_run_with_2() {
    let folder = folder("m.nn", &CLEAN.replace("relu", "rleu"));
    let output = wellposed(&["check", "--format", "concise", "m.nn"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "m.nn:7:6: error[N004] there is no op or block `rleu`\n");
    for arguments in
        [&["check", "absent.nn"][..], &["check", "Cargo.lock"], &["validate", "."], &["explain", "I999"]]
    {
        let empty = tempfile::tempdir().expect("a folder");
        let output = wellposed(arguments, empty.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        assert!(!stdout(&output).is_empty() || !stderr(&output).is_empty());
    }
}

#[test]
fn warnings_count_with_deny_warnings_only() {
    let folder = folder("m.nn", &format!("# wellposed: allow(I001) nothing is wrong here\n{CLEAN}"));
    let plain = wellposed(&["check", "--format", "concise", "m.nn"], folder.path());
    assert_eq!(
        (plain.status.code(), stdout(&plain).contains("warning[S011]")),
        (Some(0), true),
        "{}",
        stdout(&plain)
    );
    let strict = wellposed(&["check", "--deny-warnings", "m.nn"], folder.path());
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn the_json_report_has_the_documented_fields() {
    let folder = folder(
        "m.nn",
        &CLEAN.replace("he_normal", "normal(1e200)").replace("xavier_normal", "normal(1e200)"),
    );
    let output = wellposed(&["validate", "--format", "json", "m.nn"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(report["version"], 1);
    let spec = &report["specs"][0];
    assert_eq!((&spec["path"], &spec["model"], &spec["params"]), (&"m.nn".into(), &"m".into(), &804.into()));
    assert_eq!(spec["gradcheck"]["verdict"], "INVALID");
    assert_eq!(spec["gradcheck"]["tensors"][0]["name"], "a.weight");
    assert_eq!(spec["properties"][0]["name"], "finite");
    assert_eq!(spec["properties"][0]["verdict"], "FAIL");
    assert_eq!(spec["snapshot"]["status"], "missing");
    let findings = spec["diagnostics"].as_array().expect("a list");
    let gradient =
        findings.iter().find(|finding| finding["code"] == "K002").expect("a finding about the gradient");
    let keys =
        ["severity", "message", "file", "line", "column", "end_line", "end_column", "node", "help", "fix"];
    assert!(keys.iter().all(|key| gradient.get(key).is_some()), "{gradient}");
    assert_eq!((gradient["line"].as_u64(), gradient["column"].as_u64()), (Some(8), Some(3)));
    assert_eq!(spec["gradcheck"]["points"][0]["not_finite"]["node"], "c");
    assert_eq!(report["summary"]["specs"], 1);
    assert!(report["summary"]["errors"].as_u64() > Some(0));
}

#[test]
fn gradients_are_shown_with_their_bounds_and_the_formula_of_the_course_on_demand() {
    let folder = folder("m.nn", CLEAN);
    let plain = stdout(&wellposed(&["gradcheck", "m.nn"], folder.path()));
    let line = plain.lines().find(|line| line.contains("a.weight")).expect("a line for each tensor");
    assert!(["PASS", "bound", "smallest", "error", "worst"].iter().all(|word| line.contains(word)), "{line}");
    assert!(!plain.contains("the course's formula"));
    let output = wellposed(&["gradcheck", "m.nn", "--method", "ng", "--svg", "pictures"], folder.path());
    let (said, code) = (stdout(&output), output.status.code());
    assert!(
        said.contains("(J(theta[i] + 1e-7) - J(theta[i] - 1e-7)) / (2 * 1e-7)") && code == Some(0),
        "{said}"
    );
    assert!(
        said.lines().any(|line| line.trim_start().starts_with("whole ") && line.ends_with("great")),
        "{said}"
    );
    assert!(!folder.path().join("pictures").exists(), "nothing failed");
    let sparse = stdout(&wellposed(&["gradcheck", "m.nn", "--components", "0"], folder.path()));
    assert!(sparse.contains("differences along 3 random directions: error "), "{sparse}");
    let json = stdout(&wellposed(&["gradcheck", "m.nn", "--format", "json"], folder.path()));
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let tensor = &report["specs"][0]["gradcheck"]["tensors"][0];
    for field in
        ["name", "verdict", "error", "bound", "detectable", "sensitivity", "diagnosis", "worst", "point"]
    {
        assert!(tensor.get(field).is_some(), "{field}: {tensor}");
    }
    let page = stdout(&wellposed(&["explain", "gradcheck"], folder.path()));
    assert!(
        ["VACUOUS", "UNRESOLVED", "KINK-BAD", "smallest detectable error"]
            .iter()
            .all(|word| page.contains(word))
    );
}

#[test]
fn snapshots_are_accepted_compared_and_never_written_in_ci() {
    let folder = folder("wellposed.toml", "");
    let spec = folder.path().join("specs/a/m.nn");
    std::fs::create_dir_all(spec.parent().expect("a parent")).expect("a folder");
    std::fs::write(&spec, CLEAN).expect("a file");
    let snapshot = folder.path().join("snapshots/a/m.nn.graph");

    let in_ci = Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(["snapshot", "--accept", "specs"])
        .current_dir(folder.path())
        .env("CI", "true")
        .output()
        .expect("the program runs");
    assert_eq!((in_ci.status.code(), snapshot.exists()), (Some(2), false), "{}", stderr(&in_ci));

    let missing = wellposed(&["snapshot", "specs"], folder.path());
    assert_eq!(missing.status.code(), Some(0), "a missing snapshot is reported, not failed");
    assert!(stdout(&missing).contains("1 snapshot missing"), "{}", stdout(&missing));

    let accepted = wellposed(&["snapshot", "--accept", "specs"], folder.path());
    assert_eq!((accepted.status.code(), snapshot.exists()), (Some(0), true), "{}", stdout(&accepted));
    let same = wellposed(&["validate", "specs"], folder.path());
    assert!(stdout(&same).contains("1 snapshot same"), "{}", stdout(&same));

    std::fs::write(&spec, CLEAN.replace("linear(32", "linear(48")).expect("a file");
    let changed = wellposed(&["validate", "specs"], folder.path());
    assert_eq!(changed.status.code(), Some(1));
    let text = stdout(&changed);
    assert!(text.contains("error[R001]"), "{text}");
    assert!(text.contains("- a: linear(out=32) [B,32] params 672"), "{text}");
    assert!(text.contains("+ a: linear(out=48) [B,48] params 1,008"), "{text}");
    assert!(
        text.contains("snapshots/a/m.nn.graph") && !text.contains(&*folder.path().to_string_lossy()),
        "{text}"
    );

    std::fs::remove_file(&spec).expect("the spec goes");
    std::fs::write(folder.path().join("specs/other.nn"), CLEAN).expect("a file");
    let left = wellposed(&["validate", "specs"], folder.path());
    assert!(stdout(&left).contains("warning[R002]"), "{}", stdout(&left));
}

#[test]
fn statistics_are_fitted_stored_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = "a,b,y\n1,10,0\n2,20,1\n3,60,0\n";
    std::fs::write(folder.path().join("d.csv"), data).expect("a file");
    let text = "spec 1\nmodel m()\ndata {\n  train csv(\"d.csv\")\n  x numeric(a, b) |> standardize(fit=train)\n  \
                y class(y, 2)\n}\nnet { o: linear(2, init=lecun_normal) }\ntrain { loss cross_entropy(o, y) }\n";
    std::fs::write(folder.path().join("m.nn"), text).expect("a file");
    let fit = wellposed(&["stats", "fit", "m.nn"], folder.path());
    assert_eq!(fit.status.code(), Some(0), "{}{}", stdout(&fit), stderr(&fit));
    let stored = std::fs::read_to_string(folder.path().join("m.nn.stats.json")).expect("the statistics");
    let json: serde_json::Value = serde_json::from_str(&stored).expect("JSON");
    assert_eq!(json["groups"]["x"]["rows"], 3);
    assert_eq!(json["groups"]["x"]["steps"][0]["standardize"]["mean"], serde_json::json!([2.0, 30.0]));
    let check = wellposed(&["stats", "check", "m.nn"], folder.path());
    let same = "m.nn  m, 6 parameters\n  statistics  same\n1 spec: 0 errors, 0 warnings\n";
    assert_eq!((check.status.code(), stdout(&check)), (Some(0), same.to_owned()));
    std::fs::write(folder.path().join("d.csv"), data.replace("60", "61")).expect("a file");
    let stale = wellposed(&["stats", "check", "--format", "concise", "m.nn"], folder.path());
    assert_eq!(stale.status.code(), Some(1));
    assert!(stdout(&stale).contains("error[D110]"), "{}", stdout(&stale));
}

#[test]
fn everything_that_can_be_named_is_explained() {
    let list = stdout(&wellposed(&["rules", "--format", "json"], repository()));
    let rules: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    for rule in rules.as_array().expect("a list") {
        let code = rule["code"].as_str().expect("a code");
        let page = wellposed(&["explain", code], repository());
        assert_eq!(page.status.code(), Some(0));
        assert!(stdout(&page).lines().count() >= 3, "{code}");
    }
    for list in ["ops", "inits", "transforms", "laws", "properties"] {
        for line in stdout(&wellposed(&["explain", list], repository())).lines() {
            let name = line.split_whitespace().next().expect("a name");
            assert_eq!(wellposed(&["explain", name], repository()).status.code(), Some(0), "{name}");
        }
    }
}

#[test]
fn show_puts_predicted_and_measured_scale_side_by_side() {
    let folder = folder("m.nn", CLEAN);
    let output = wellposed(&["show", "m.nn"], folder.path());
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("node") && lines[0].ends_with("measured"), "{text}");
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(cells[..5], ["a", "linear", "[B,32]", "672", "1.414"]);
    let measured: f64 = cells[5].parse().expect("a number");
    assert!((measured - 1.414).abs() < 0.2, "{text}");
    assert_eq!(lines.last(), Some(&"total: 804 parameters, 0 state"));
}

#[test]
fn weights_are_drawn_and_run_and_what_does_not_fit_is_said() {
    let folder = folder("m.nn", CLEAN);
    let drawn = wellposed(&["weights", "m.nn", "--seed", "5", "--out", "w.safetensors"], folder.path());
    assert_eq!(drawn.status.code(), Some(0), "{}{}", stdout(&drawn), stderr(&drawn));
    let again = wellposed(&["weights", "m.nn", "--seed", "5", "--out", "again.safetensors"], folder.path());
    assert_eq!(again.status.code(), Some(0));
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    assert_eq!(bytes("w.safetensors"), bytes("again.safetensors"), "a seed gives the same bytes");

    let rows: Vec<f64> = (0..40).map(|i| f64::from(i) / 10.0).collect();
    let stored = |dims: &[usize], elements| Stored { dims: dims.to_vec(), elements };
    let mut input = std::collections::BTreeMap::new();
    input.insert("x".to_owned(), stored(&[2, 20], Elements::Real(rows)));
    input.insert("y".to_owned(), stored(&[2], Elements::Whole(vec![1, 3])));
    std::fs::write(folder.path().join("i.safetensors"), write(&input)).expect("a file");
    let base =
        ["run", "m.nn", "--weights", "w.safetensors", "--input", "i.safetensors", "--out", "o.safetensors"];
    let ran = wellposed(&[&base[..], &["--grads"]].concat(), folder.path());
    assert_eq!(ran.status.code(), Some(0), "{}{}", stdout(&ran), stderr(&ran));
    let results = read("o.safetensors", &bytes("o.safetensors")).expect("a tensor file");
    let names: Vec<&str> = results.keys().map(String::as_str).collect();
    let wanted =
        ["grad/a.bias", "grad/a.weight", "grad/c.bias", "grad/c.weight", "grad_input/x", "loss", "output"];
    assert_eq!(names, wanted);
    assert_eq!((&results["loss"].dims[..], &results["output"].dims[..]), (&[][..], &[2, 4][..]));

    input.insert("y".to_owned(), stored(&[2], Elements::Whole(vec![1, 4])));
    std::fs::write(folder.path().join("i.safetensors"), write(&input)).expect("a file");
    let label = wellposed(&base, folder.path());
    assert_eq!(label.status.code(), Some(1));
    assert!(stdout(&label).contains("error[S012]"), "{}", stdout(&label));
    let absent = wellposed(&["run", "m.nn", "--weights", "no", "--input", "no", "--out", "o"], folder.path());
    assert_eq!(absent.status.code(), Some(2));
}

#[test]
fn raw_rows_go_through_the_stored_statistics() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("d.csv"), "a,b,y\n1,10,0\n2,20,1\n3,60,0\n").expect("a file");
    let text = "spec 1\nmodel m()\ndata {\n  train csv(\"d.csv\")\n  x numeric(a, b) |> standardize(fit=train)\n  \
                y class(y, 2)\n}\nnet { o: linear(2, init=lecun_normal) }\ntrain { loss cross_entropy(o, y) }\n";
    std::fs::write(folder.path().join("m.nn"), text).expect("a file");
    let run = |arguments: &[&str]| wellposed(arguments, folder.path());
    assert_eq!(run(&["stats", "fit", "m.nn"]).status.code(), Some(0));
    assert_eq!(run(&["weights", "m.nn", "--out", "w"]).status.code(), Some(0));
    // Column a has mean 2 and variance 2/3, column b mean 30 and variance 1400/3.
    let scaled = [(3.0 - 2.0) / (2.0f64 / 3.0).sqrt(), (10.0 - 30.0) / (1400.0f64 / 3.0).sqrt()];
    let mut outputs = Vec::new();
    for (row, raw) in [([3.0, 10.0], true), (scaled, false)] {
        let stored = Stored { dims: vec![1, 2], elements: Elements::Real(row.to_vec()) };
        let input = [("x".to_owned(), stored)].into();
        std::fs::write(folder.path().join("i"), write(&input)).expect("a file");
        let mut arguments = vec!["run", "m.nn", "--weights", "w", "--input", "i", "--out", "o"];
        arguments.extend(raw.then_some("--raw"));
        let ran = run(&arguments);
        assert_eq!(ran.status.code(), Some(0), "{}{}", stdout(&ran), stderr(&ran));
        let bytes = std::fs::read(folder.path().join("o")).expect("a file");
        let Elements::Real(output) = read("o", &bytes).expect("a tensor file")["output"].elements.clone()
        else {
            panic!("an output of numbers")
        };
        outputs.push(output);
    }
    let distance = outputs[0].iter().zip(&outputs[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(distance < 1e-14, "{outputs:?}");
}

/// Zero weights answer 0 in standard deviations, which is the mean of the target in its own units.
#[test]
fn predictions_are_written_in_the_units_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("d.csv"), "a,b,y\n1,10,5\n2,20,8\n3,60,2\n").expect("a file");
    let text = "spec 1\nmodel m\ndata {\n  train csv(\"d.csv\")\n  x numeric(a, b) |> standardize(fit=train)\n  \
                y target(y) |> standardize(fit=train)\n}\nnet { out: linear(1, init=zeros) <- x }\n\
                train { loss mse(out, y)  predict unscale(out, y) }\n";
    std::fs::write(folder.path().join("m.nn"), text).expect("a file");
    let run = |arguments: &[&str]| wellposed(arguments, folder.path());
    assert_eq!(run(&["stats", "fit", "m.nn"]).status.code(), Some(0));
    assert_eq!(run(&["weights", "m.nn", "--out", "w"]).status.code(), Some(0));
    let stored = Stored { dims: vec![1, 2], elements: Elements::Real(vec![1.0, 10.0]) };
    std::fs::write(folder.path().join("i"), write(&[("x".to_owned(), stored)].into())).expect("a file");
    let ran = run(&["run", "m.nn", "--weights", "w", "--input", "i", "--out", "o", "--raw"]);
    assert_eq!(ran.status.code(), Some(0), "{}{}", stdout(&ran), stderr(&ran));
    let bytes = std::fs::read(folder.path().join("o")).expect("a file");
    let results = read("o", &bytes).expect("a tensor file");
    assert_eq!(results["output"].elements, Elements::Real(vec![0.0]));
    assert_eq!(results["prediction"].elements, Elements::Real(vec![5.0]));
}

#[test]
fn the_signal_is_shown_as_a_table_in_words_and_as_a_chart() {
    let folder = folder("m.nn", CLEAN);
    let output = wellposed(&["show", "m.nn", "--signal", "--measure", "4", "--svg", "m.svg"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for part in ["gradient energy", "correlation", "a.relu", "a band holds 95 %"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let svg = std::fs::read_to_string(folder.path().join("m.svg")).expect("a chart");
    assert!(svg.starts_with("<svg ") && svg.contains("signal and gradient at initialisation"));
    // Two layers with a measured point of either quantity, and the one of the legend.
    assert_eq!(svg.matches("<circle").count(), 5);
    let output =
        wellposed(&["show", "m.nn", "--signal", "--measure", "0", "--format", "json"], folder.path());
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let first = &value["nodes"][0];
    let rms = first["rms"]["predicted"].as_f64().expect("a number");
    // He weights double the second moment; typical values lie lower by half of the scatter of 20 inputs and 32 units, 2/20 + 2/32.
    assert!((1.25..1.4143).contains(&rms), "{rms}");
    assert!(first["rms"]["measured"].is_null() && first["gradient"]["predicted"].is_number());
}

#[test]
fn fixes_are_shown_first_and_written_on_demand() {
    // A safe fix (noise on evaluation rows), an unsafe one (a doubled softmax), and one that is expected to stay.
    let text = "# wellposed: expect(I001)
spec 1
model m
input x: f64[B, 20] |> noise(0.1, only=always)
target y: class(4)
net {
  h: repeat 20 {
    fc: linear(64, init=xavier_normal)
        relu
  }
  c: linear(4, init=xavier_normal)
  p: softmax
}
train { loss cross_entropy(p, y)  adam(lr=1e-3) }
";
    let folder = folder("m.nn", text);
    let here = folder.path();
    let read = || std::fs::read_to_string(here.join("m.nn")).expect("the spec is there");
    let shown = wellposed(&["check", "--diff", "m.nn"], here);
    assert_eq!(shown.status.code(), Some(1), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("+ input x: f64[B, 20] |> noise(0.1, only=train)"), "{}", stdout(&shown));
    assert!(!stdout(&shown).contains("cross_entropy(c, y)"), "an unsafe fix is not shown unasked");
    assert_eq!(read(), text, "nothing is written");
    let alone = wellposed(&["check", "--unsafe-fixes", "m.nn"], here);
    assert_eq!(alone.status.code(), Some(2));
    let safe = wellposed(&["check", "--fix", "--format", "concise", "m.nn"], here);
    assert_eq!(safe.status.code(), Some(1), "the softmax is left");
    assert_eq!(stderr(&safe), "1 fix written into 1 spec\n");
    assert!(read().contains("only=train") && read().contains("cross_entropy(p, y)"), "{}", read());
    let all = wellposed(&["check", "--fix", "--unsafe-fixes", "--format", "concise", "m.nn"], here);
    assert_eq!(all.status.code(), Some(0), "{}", stdout(&all));
    assert!(read().contains("cross_entropy(c, y)"), "{}", read());
    assert!(read().contains("xavier_normal)\n        relu"), "what is expected stays");
    let again = wellposed(&["check", "--diff", "--unsafe-fixes", "m.nn"], here);
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(0), ""));
}

//! Hostile input: a clear error, soon, without a panic, on a small stack and with little memory.

use crate::support::{Memory, concise, name_of, notation, specs};
use std::fmt::Write;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use wellposed::diag::Diagnostic;
use wellposed::diag::render::{Look, full};
use wellposed::diag::suppress::Notation;
use wellposed::pipeline::{Stages, compile};

/// What one case may take, in an optimised build with every check on.
const LIMIT: Duration = Duration::from_secs(2);
/// The stack of a worker thread, and of a main thread.
const STACKS: [usize; 2] = [2 << 20, 8 << 20];

/// Compiles and renders on a stack of a given size; gives the findings, a line each.
fn on_stack(stack: usize, name: &'static str, bytes: Vec<u8>) -> String {
    let (send, receive) = mpsc::channel();
    let worker = thread::Builder::new().stack_size(stack).spawn(move || {
        let begun = Clock::now();
        let mut compiled = match compile(Path::new(name), &Memory::of(name, bytes)) {
            Ok(compiled) => compiled,
            Err(diagnostic) => {
                let line = format!("{}: {}", diagnostic.rule.code, diagnostic.message);
                send.send((line, begun.elapsed())).expect("somebody listens");
                return;
            }
        };
        compiled.conclude(Stages::default());
        for diagnostic in &compiled.found {
            inside(diagnostic, &compiled.sources.file(compiled.file).text);
        }
        assert!(full(&compiled.found, &compiled.sources, Look::PLAIN).len() < 1 << 20);
        // What a lint says of a model is not whether its text can be read.
        compiled.found.retain(|d| "SNHYX".contains(&d.rule.code[..1]) || d.rule.code.starts_with("D1"));
        let found = concise(compiled.found.clone(), &compiled.sources);
        send.send((found, begun.elapsed())).expect("somebody listens");
    });
    let worker = worker.expect("a thread can be started");
    match receive.recv_timeout(Duration::from_secs(60)) {
        Ok((found, took)) => {
            worker.join().expect("no panic");
            assert!(took < LIMIT, "took {took:?}");
            found
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            worker.join().expect("no panic");
            panic!("a worker that says nothing");
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no answer"),
    }
}

/// The processor time of the current thread where the system tells it, so that a busy machine fails no test; else the time.
struct Clock(Instant, Option<Duration>);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), Self::processor())
    }

    fn processor() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        match (self.1, Self::processor()) {
            (Some(begun), Some(now)) => now.saturating_sub(begun),
            _ => self.0.elapsed(),
        }
    }
}

/// Every place of a finding lies inside the text, on boundaries of characters.
fn inside(diagnostic: &Diagnostic, text: &str) {
    let places = diagnostic.span().into_iter().chain(diagnostic.labels.iter().map(|label| label.span));
    for span in places {
        let range = span.range();
        assert!(range.start <= range.end && range.end <= text.len(), "{range:?} of {}", text.len());
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{range:?}");
    }
}

/// Compiles a text on both stacks and expects a finding of one of the codes.
fn expect(what: &str, notation: Notation, bytes: impl Into<Vec<u8>>, codes: &[&str]) {
    let bytes = bytes.into();
    for stack in STACKS {
        let found = on_stack(stack, name_of(notation), bytes.clone());
        let shown: String = found.chars().take(600).collect();
        assert!(
            codes.is_empty() == found.is_empty()
                && (codes.is_empty() || codes.iter().any(|code| found.contains(code))),
            "{what}: {shown}"
        );
    }
}

const HEAD: &str = "spec 1\nmodel m\ninput x: f64[B, 4]\ntarget y: class(3)\n";
const YAML_HEAD: &str = "spec: 1\nmodel: m\ninputs: {x: \"f64[B, 4]\"}\ntargets: {y: class(3)}\n";

fn dsl(what: &str, rest: &str, codes: &[&str]) {
    expect(what, Notation::Dsl, format!("{HEAD}{rest}"), codes);
}

fn yaml(what: &str, rest: &str, codes: &[&str]) {
    expect(what, Notation::Yaml, format!("{YAML_HEAD}{rest}"), codes);
}

/// An expression as the argument of a layer.
fn layer(what: &str, text: &str, codes: &[&str]) {
    dsl(what, &format!("net {{ fc: linear({text}, init=he_normal) }}\n"), codes);
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    yaml(what, &format!("net: [{{id: fc, linear: {{out: \"={quoted}\", init: he_normal}}}}]\n"), codes);
}

/// An expression as the argument of a layer and as the value of a parameter.
fn expression(what: &str, text: &str, codes: &[&str]) {
    layer(what, text, codes);
    expect(
        what,
        Notation::Dsl,
        format!("spec 1\nmodel m(a = {text})\ninput x: f64[B, 4]\nnet {{ fc: linear(1, init=zeros) }}\n"),
        codes,
    );
}

const N: usize = 100_000;

#[test]
fn huge_sizes() {
    for size in ["10**18", "999_999_999_999_999_999", "2**62", "2**41", "2**40"] {
        layer(size, size, &["S008"]);
    }
    dsl(
        "a huge axis",
        "input z: f64[B, 2_000_000_000_000]\nnet { fc: linear(1, init=zeros) <- z }\n",
        &["S008", "O", "I"],
    );
    dsl(
        "a huge sample",
        "input z: f64[B, 2_000_000, 2_000_000]\nnet { fc: linear(1, init=zeros) <- z }\n",
        &["S008"],
    );
    dsl(
        "a huge kernel",
        "net {\n  a: linear(1_000_000_000, init=he_normal)\n  b: linear(1_000_000_000, init=he_normal)\n}\n",
        &["S008"],
    );
    dsl(
        "a huge class count",
        "target z: class(10**18)\nnet { fc: linear(1, init=he_normal) }\n",
        &["S004", "S008"],
    );
}

#[test]
fn brackets_that_nest() {
    for (open, close) in [("(", ")"), ("[", "]"), ("max(", ")")] {
        let closed = format!("{}1{}", open.repeat(N), close.repeat(N));
        let left_open = open.repeat(N);
        for text in [closed, left_open, close.repeat(N)] {
            dsl(open, &format!("net {{ fc: linear({text}, init=he_normal) }}\n"), &["S008", "S002"]);
            yaml(
                open,
                &format!("net: [{{id: fc, linear: {{out: \"={text}\", init: he_normal}}}}]\n"),
                &["S008", "S002"],
            );
        }
    }
    for open in ["{ ", "r: residual { ", "l: repeat 2 { ", "{\n", "l: for i in range(2) {\n"] {
        dsl(open, &format!("net {{ {}", open.repeat(N)), &["S008"]);
        dsl(open, &format!("net {{ {} relu {} }}", open.repeat(N), "}".repeat(N)), &["S008"]);
    }
    let deep = format!(
        "net {{\n{}fc: linear(1, init=zeros)\n{}}}\n",
        "r: residual {\n".repeat(60),
        "}\n".repeat(60)
    );
    dsl("sixty residuals", &deep, &["H001", "A", "N002", "S008"]);
    yaml("[", &format!("net: {}{}\n", "[".repeat(N), "]".repeat(N)), &["S008"]);
    yaml("{", &format!("net: {}", "{a: ".repeat(N)), &["S008"]);
    yaml("- ", &format!("net:\n{}\n", "- ".repeat(N)), &["S008", "Y001"]);
    yaml("? ", &format!("net:\n  {}\n", "? ".repeat(N)), &["S008", "Y001"]);
    let mut indented = String::from("net:\n");
    for depth in 1..1500 {
        let _ = writeln!(indented, "{}a:", " ".repeat(depth));
    }
    yaml("indentation", &indented, &["S008", "Y001"]);
    yaml("brackets in text", &format!("net: \"{}\"\n", "[".repeat(N)), &["S004", "S008"]);
}

#[test]
fn aliases_that_multiply() {
    let mut bomb = String::from("defaults:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        let _ = writeln!(bomb, "  a{i}: &a{i} [{items}]");
    }
    yaml("an alias bomb", &bomb, &["S008"]);
    yaml("an alias of itself", "defaults: &a {b: *a}\n", &["Y001", "S008", "N004", "S004"]);
    let many = format!("net:\n  - &a {{id: f, linear: 3}}\n{}", "  - *a\n".repeat(20_000));
    yaml("many aliases", &many, &["S008", "N002"]);
}

#[test]
fn long_chains_of_operators() {
    let chains = [
        ("1+", "1"),
        ("1-", "1"),
        ("2*", "1"),
        ("2**", "1"),
        ("8//", "1"),
        ("1 and ", "1"),
        ("true or ", "true"),
        ("1 < ", "1"),
        ("- ", "1"),
        ("not ", "true"),
        ("not - ", "1"),
        ("1 if true else ", "1"),
        ("a.", "b"),
        ("in.shape[1] + ", "1"),
    ];
    for (part, end) in chains {
        let text = format!("{}{end}", part.repeat(N));
        expression(part, &text, &["S008"]);
        // Below the limit of operators recursion must hold, too.
        let short = format!("{}{end}", part.repeat(990));
        for stack in STACKS {
            on_stack(
                stack,
                "test.nn",
                format!("{HEAD}net {{ fc: linear({short}, init=zeros) }}\n").into_bytes(),
            );
        }
    }
    expression("indices", &format!("a{}", "[0]".repeat(N)), &["S008"]);
    expression("signs", &format!("{}1", "-".repeat(N)), &["S008"]);
    let path = format!("net {{ fc: linear(3, init=he_normal) <- x{} }}\n", ".a".repeat(N));
    dsl("a long path", &path, &["N001"]);
    let chain = format!(
        "input z: f64[B, 4] {}\nnet {{ fc: linear(3, init=he_normal) <- z }}\n",
        "|> log1p ".repeat(20_000)
    );
    dsl("a long chain of transforms", &chain, &[]);
}

#[test]
fn loops_and_blocks_that_explode() {
    dsl("a long loop", "net { l: repeat 1_000_000_000 { relu } }\n", &["S008"]);
    dsl("a long empty loop", "net { l: repeat 10**9 { } }\n", &["S008"]);
    dsl("an endless loop", "net { l: for i in range(-2**62, 2**62) { relu } }\n", &["S008"]);
    dsl("a backward loop", "net { l: for i in range(5, -5) { relu } }\n", &["S007"]);
    for body in ["", "fc: linear(4, init=he_normal)\n", "relu\n"] {
        let nested =
            format!("net {{ a: repeat 1000 {{\nb: repeat 1000 {{\nc: repeat 1000 {{ {body}}}\n}}\n}}\n}}\n");
        dsl("nested loops", &nested, &["S008"]);
        let list: Vec<String> = (0..N).map(|i| i.to_string()).collect();
        let listed =
            format!("net {{ a: for i in [{}] {{ b: repeat 1000 {{ {body} }}\n}}\n}}\n", list.join(", "));
        dsl("a loop over a list", &listed, &["S008"]);
    }
    dsl("self recursion", "block a() {\n  n: a\n}\nnet {\n  m: a\n}\n", &["N005"]);
    dsl(
        "mutual recursion",
        "block a() {\n  n: b\n}\nblock b() {\n  n: c\n}\nblock c() {\n  n: a\n}\nnet {\n  m: a\n}\n",
        &["N005"],
    );
    for last in ["relu", "fc: linear(4, init=he_normal)", "r: residual { }"] {
        let mut doubling = format!("block b0() {{ {last} }}\n");
        for i in 1..60 {
            let _ = writeln!(doubling, "block b{i}() {{\n  l: b{}\n  r: b{}\n}}", i - 1, i - 1);
        }
        let _ = writeln!(doubling, "net {{ n: b59 }}");
        dsl("blocks that double", &doubling, &["S008"]);
    }
    let mut chain = String::from("block b0() { relu }\n");
    for i in 1..5_000 {
        let _ = writeln!(chain, "block b{i}() {{ n: b{} }}", i - 1);
    }
    let _ = writeln!(chain, "net {{ n: b4999 }}");
    dsl("a long chain of blocks", &chain, &["S008"]);
    let mut deep = String::from("net {\n");
    for i in 0..60 {
        let _ = writeln!(deep, "l: for i{i} in range(2) {{");
    }
    deep.push_str("relu\n");
    deep.push_str(&"}\n".repeat(61));
    dsl("loops within loops", &deep, &["S008"]);
}

#[test]
fn many_of_everything() {
    let params: Vec<String> = (0..N).map(|i| format!("p{i} = {i}")).collect();
    let text = format!(
        "spec 1\nmodel m({})\ninput x: f64[B, 4]\nnet {{ fc: linear(3, init=he_normal) }}\n",
        params.join(", ")
    );
    expect("many parameters", Notation::Dsl, text, &["S008"]);
    let params: Vec<String> = (0..1_000).map(|i| format!("p{i} = {i}")).collect();
    let text = format!(
        "spec 1\nmodel m({})\ninput x: f64[B, 4]\nnet {{ fc: linear(p7, init=he_normal) }}\n",
        params.join(", ")
    );
    expect("some parameters", Notation::Dsl, text, &[]);
    let numbers = vec!["1"; N].join(", ");
    dsl("a long list", &format!("net {{ fc: linear(len([{numbers}]), init=he_normal) }}\n"), &[]);
    yaml(
        "a long list",
        &format!("params: {{a: [{numbers}]}}\nnet: [{{id: fc, linear: {{out: 3, init: he_normal}}}}]\n"),
        &[],
    );
    let mut nodes = String::from("net {\n");
    // More of them take their time in the signal analysis, where each costs a quadrature.
    for i in 0..3_000 {
        let _ = writeln!(nodes, "f{i}: relu");
    }
    nodes.push_str("}\n");
    dsl("many nodes", &nodes, &[]);
    let faulty = format!("net {{\n{}}}\n", "f: = 3\n".repeat(N));
    dsl("many faulty statements", &faulty, &["S008"]);
    let faulty = "= 3\n".repeat(N);
    dsl("many faulty sections", &faulty, &["S008"]);
    let sections = "net { relu }\n".repeat(20_000);
    dsl("many sections", &sections, &["S006"]);
    let inputs: String = (0..20_000).map(|i| format!("input i{i}: f64[B, 2]\n")).collect();
    dsl("many inputs", &format!("{inputs}net {{ fc: linear(3, init=he_normal) <- i7 }}\n"), &[]);
    let blocks: String = (0..20_000).map(|i| format!("block b{i}() {{ relu }}\n")).collect();
    dsl("many blocks", &format!("{blocks}net {{ fc: linear(3, init=he_normal) <- x }}\n"), &[]);
    let wiring = vec!["x"; N].join(", ");
    dsl("many wires", &format!("net {{ s: add <- {wiring} }}\n"), &[]);
    let arguments = vec!["1"; N].join(", ");
    dsl("many arguments", &format!("net {{ fc: linear({arguments}) }}\n"), &["S003"]);
    let comments = "# wellposed: allow(I001) reason: none\n".repeat(20_000);
    dsl(
        "many suppressions",
        &format!("{comments}net {{ fc: linear(3, init=he_normal) }}\n"),
        &["S011", "S008"],
    );
}

#[test]
fn bytes_that_are_no_text() {
    for notation in [Notation::Dsl, Notation::Yaml] {
        expect("nothing", notation, "", &["S001"]);
        expect("white space", notation, " \n\t\n", &["S001"]);
        expect("a comment", notation, "# nothing\n", &["S005", "S001"]);
        expect("not UTF-8", notation, b"spec 1\nmodel \xff\xfe\n".to_vec(), &["S001"]);
        expect("cut inside a character", notation, b"spec 1\nmodel m\xc3".to_vec(), &["S001"]);
        expect("NUL", notation, "spec 1\nmodel m\0\n", &["S00", "Y001"]);
        expect("NULs", notation, vec![0; 100_000], &["S00", "Y001"]);
        expect("controls", notation, "spec 1\n\u{1b}[31m\u{7}\n", &["S00", "Y001"]);
        expect("a long line", notation, "x".repeat(1 << 20), &["S00", "Y001"]);
        expect("a long line of quotes", notation, "\"".repeat(1 << 20), &["S00", "Y00"]);
        expect(
            "a long line of spaces",
            notation,
            format!("spec 1 {}x", " ".repeat(1 << 20)),
            &["S00", "Y001"],
        );
        expect("a long comment", notation, format!("# {}", "é".repeat(1 << 19)), &["S005", "S001"]);
        expect("too large a file", notation, "# comment\n".repeat(1 << 20), &["S001"]);
    }
    let good = format!("{HEAD}net {{ fc: linear(3, init=he_normal) }}\n");
    expect("a byte order mark", Notation::Dsl, format!("\u{feff}{good}"), &[]);
    expect("CRLF", Notation::Dsl, good.replace('\n', "\r\n"), &[]);
    expect("lone CR", Notation::Dsl, good.replace('\n', "\r"), &[]);
    let good = format!("{YAML_HEAD}net: [{{id: fc, linear: {{out: 3, init: he_normal}}}}]\n");
    expect("a byte order mark", Notation::Yaml, format!("\u{feff}{good}"), &[]);
    expect("CRLF", Notation::Yaml, good.replace('\n', "\r\n"), &[]);
    expect("lone CR", Notation::Yaml, good.replace('\n', "\r"), &[]);
    dsl("an unterminated text", "net { fc: linear(\"abc, init=he_normal) }\n", &["S002"]);
    dsl("a text with escapes", "net { fc: linear(\"\\\\\\\" , init=he_normal) }\n", &["S002"]);
    yaml("an unterminated text", "net: \"abc\n", &["Y001"]);
    dsl("a name with an accent", "net { fcé: linear(3, init=he_normal) }\n", &["S002"]);
    dsl("a name in another script", "net { 層: linear(3, init=he_normal) }\n", &["S002"]);
    dsl("a text in another script", "net { fc: linear(\"層é🎉\", init=he_normal) }\n", &["S004"]);
    yaml("a name in another script", "net: [{id: 層, linear: {out: 3, init: he_normal}}]\n", &["S004"]);
    yaml("a key in another script", "nét: [relu]\n", &["S003"]);
    dsl("a right-to-left override", "net { \u{202e}fc: linear(3, init=he_normal) }\n", &["S002"]);
}

#[test]
fn numbers_at_their_ends() {
    for text in [
        "9223372036854775807 + 1",
        "-9223372036854775807 - 2",
        "9223372036854775807 * 2",
        "2 ** 64",
        "10 ** 400",
    ] {
        expression(text, text, &["S009"]);
    }
    for text in [
        "1 / 0",
        "1 // 0",
        "1 % 0",
        "1.5 / 0",
        "0 ** -1",
        "-(-9223372036854775807 - 1)",
        "(-9223372036854775807 - 1) // -1",
    ] {
        expression(text, text, &["S009"]);
    }
    for text in [
        "(-9223372036854775807 - 1) % -1",
        "abs(-9223372036854775807 - 1)",
        "sqrt(-1)",
        "log2(0)",
        "floor(1e300)",
        "1e308 * 10",
    ] {
        expression(text, text, &["S00"]);
    }
    for text in ["9223372036854775808", "1e400", "99999999999999999999999999"] {
        expression(text, text, &["S007"]);
    }
    layer("a range as a number", "range(3)", &["S00"]);
    expression("a long range", "len(range(10**15))", &["S00"]);
}

#[test]
fn files_that_are_no_files() {
    let missing = compile(Path::new("no/such.nn"), &Memory::default()).expect_err("a missing file");
    assert_eq!((missing.rule.code, missing.message.as_str()), ("S001", "there is no such file"));
    let folder = compile(Path::new("tests/suite/folder.nn"), &Folder).expect_err("a folder");
    assert_eq!(folder.rule.code, "S001");
    assert!(folder.message.starts_with("the file cannot be read: "), "{}", folder.message);
    let named = compile(Path::new("Cargo.toml"), &Memory::default()).expect_err("no spec");
    assert!(named.message.contains("`.nn`"), "{}", named.message);
}

/// Opens a folder whatever it is asked for.
struct Folder;

impl wellposed::source::Loader for Folder {
    fn open(&self, _: &Path) -> std::io::Result<Box<dyn std::io::Read + Send + '_>> {
        Ok(Box::new(std::fs::File::open("tests/suite")?))
    }
}

/// The numbers of Marsaglia's xorshift64, so that every run sees the same mutants.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n.max(1) as u64).expect("less than n")
    }
}

/// Pieces that mean something in one of the notations.
const PIECES: [&str; 34] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "#",
    "=",
    "<-",
    "|>",
    "..",
    "**",
    "//",
    "\n",
    "\t",
    " ",
    "é",
    "in",
    "if ",
    "else ",
    "not ",
    "- ",
    "&a ",
    "*a",
    "!t ",
    "<<: ",
    "0",
    "1e9",
    "net",
    "repeat 3 {",
    "\u{feff}",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Xorshift) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            1 if at < bytes.len() => {
                bytes.remove(at);
            }
            2 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let from = random.below(bytes.len());
                let piece = bytes[from..(from + random.below(60)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => bytes.truncate(at),
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

#[test]
fn mutants_of_specs_never_panic() {
    let originals: Vec<_> = ["specs", "tests/twins"].iter().flat_map(|folder| specs(folder)).collect();
    assert!(originals.len() > 20);
    let begun = Instant::now();
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut tried = 0;
    'all: for round in 0..60 {
        for path in &originals {
            let mut bytes = std::fs::read(path).expect("a spec");
            mutate(&mut bytes, &mut random);
            // Beside the original, so that its data files are found.
            let name = path.with_file_name(format!("mutant-{}", path.file_name().expect("a name").display()));
            let loader = Memory::of(&name.display().to_string(), bytes.clone());
            let started = Clock::now();
            let checked = std::panic::catch_unwind(|| {
                let mut compiled = compile(&name, &loader).expect("a text in memory can be opened");
                compiled.conclude(Stages::default());
                for diagnostic in &compiled.found {
                    inside(diagnostic, &compiled.sources.file(compiled.file).text);
                }
                let shown = full(&compiled.found, &compiled.sources, Look::PLAIN);
                shown.len() + concise(compiled.found.clone(), &compiled.sources).len()
            });
            assert!(
                checked.is_ok(),
                "{:?}, round {round}:\n{}",
                notation(path),
                String::from_utf8_lossy(&bytes)
            );
            tried += 1;
            assert!(
                started.elapsed() < 2 * LIMIT,
                "{:?}:\n{}",
                started.elapsed(),
                String::from_utf8_lossy(&bytes)
            );
            // On a slow machine fewer mutants are better than a timeout.
            if begun.elapsed() > Duration::from_secs(20) {
                break 'all;
            }
        }
    }
    assert!(tried >= 500, "only {tried} mutants");
}

/// The worst cases in an address space of one gibibyte, through the command line.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_below_one_gibibyte() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut doubling = format!("{HEAD}block b0() {{ fc: linear(4, init=he_normal) }}\n");
    for i in 1..60 {
        let _ = writeln!(doubling, "block b{i}() {{\n  l: b{}\n  r: b{}\n}}", i - 1, i - 1);
    }
    let cases = [
        ("doubling.nn", format!("{doubling}net {{ n: b59 }}\n")),
        ("loop.nn", format!("{HEAD}net {{ a: repeat 100_000 {{ fc: linear(4, init=he_normal)\nrelu }} }}\n")),
        ("brackets.nn", format!("{HEAD}net {{ fc: linear({}", "(".repeat(1 << 20))),
        ("statements.nn", format!("{HEAD}net {{\n{}}}\n", "= 3\n".repeat(1 << 20))),
        ("words.nn", format!("{HEAD}net {{ fc: linear({}1) }}\n", "1+".repeat(1 << 20))),
        ("list.nn.yaml", format!("{YAML_HEAD}net: [{}]\n", "relu, ".repeat(1 << 20))),
    ];
    for (name, text) in cases {
        std::fs::write(folder.path().join(name), text).expect("a file");
        let command = format!(
            "ulimit -v 1048576; exec {} check --format concise {name}",
            env!("CARGO_BIN_EXE_wellposed")
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .output()
            .expect("a shell");
        let shown = String::from_utf8_lossy(&output.stdout).chars().take(300).collect::<String>();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{name}: {shown} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(shown.contains("error[S008]") || shown.contains("error[S002]"), "{name}: {shown}");
    }
}

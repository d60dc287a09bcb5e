//! Random trees: everything that both notations can say, whether or not it means something.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeSet;
use wellposed::diag::suppress::Notation;
use wellposed::front::ast::{
    Action, ArgExpr, Binary, Block, Body, Bound, CallExpr, Column, Data, Declared, Expr, Head, Model,
    Override, Own, ParamDecl, Penalty, Property, Relation, Setting, Shortcut, Slope, Spec, SplitDecl,
    SplitRule, Statement, Train, TypeExpr, Unary,
};
use wellposed::front::names;
use wellposed::source::{FileId, Sources, Span, Spanned};

/// The only file of the trees, which is empty.
fn file() -> FileId {
    Sources::default().add("", "")
}

fn place() -> Span {
    Span::new(file(), 0..0)
}

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, place())
}

fn head() -> Head {
    Head(place())
}

const KEYWORDS: [&str; 14] = [
    "and", "as", "else", "false", "for", "if", "in", "not", "or", "repeat", "residual", "shortcut", "true",
    "when",
];

/// Names, among them those that YAML readers take for something else, and those of the language.
fn name() -> BoxedStrategy<String> {
    let odd = prop::sample::select(vec![
        "no",
        "on",
        "null",
        "yes",
        "True",
        "Off",
        "y",
        "n",
        "NULL",
        "inf",
        "nan",
        "Infinity",
        "_",
        "__",
        "e5",
        "x1",
        "spec",
        "model",
        "input",
        "net",
        "train",
        "split",
        "by",
        "data",
        "B",
        "he_normal",
        "uniform",
        "l2",
        "csv",
        "value",
        "params",
        "default",
        "column",
        "tie",
    ]);
    let any =
        "[a-zA-Z_][a-zA-Z0-9_]{0,5}".prop_filter("a keyword", |name| !KEYWORDS.contains(&name.as_str()));
    prop_oneof![2 => any, 1 => odd.prop_map(str::to_owned)].boxed()
}

/// What a statement may call: YAML has keys of its own.
fn callee() -> BoxedStrategy<String> {
    let ops =
        prop::sample::select(vec!["linear", "relu", "conv2d", "dropout", "reshape", "concat", "batch_norm"]);
    let other = name().prop_filter("a key", |name| !["id", "from", "body"].contains(&name.as_str()));
    prop_oneof![ops.prop_map(str::to_owned), other].boxed()
}

fn text() -> BoxedStrategy<String> {
    let tricky = prop::sample::select(vec![
        "",
        " ",
        "=",
        "=x",
        "a(b)",
        "a (b)",
        "no",
        "null",
        "12",
        "1e3",
        "a: b",
        "a #b",
        "#",
        "it's",
        "\"",
        "\\",
        "a\nb",
        "a\rb",
        "\t",
        "'\"'",
        "- a",
        "[x",
        "{",
        "}",
        "%a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "@",
        "`",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{0}",
        "é",
        "日本",
        "🦀",
        "a,b",
        "trailing ",
        "a:",
        ": ",
        "~",
        "true",
        "<<",
        "..",
        "pixel_*",
    ]);
    let any = vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect::<String>());
    prop_oneof![2 => tricky.prop_map(str::to_owned), 1 => any, 1 => "[ -~]{0,8}".prop_map(|text| text)]
        .boxed()
}

fn number() -> BoxedStrategy<Expr> {
    let float = prop_oneof![
        any::<f64>().prop_filter_map("finite", |x| x.is_finite().then_some(x.abs())),
        prop::sample::select(vec![
            0.0,
            1.0,
            1e-3,
            1e-4,
            0.01,
            5e-324,
            f64::MAX,
            1e15,
            1e16,
            1e22,
            123_456.789,
            1e7
        ]),
    ];
    let int = prop_oneof![0i64..300, 0..=i64::MAX, Just(i64::MAX)];
    prop_oneof![int.prop_map(Expr::Int), float.prop_map(Expr::Float)].boxed()
}

const OPERATORS: [Binary; 15] = [
    Binary::Or,
    Binary::And,
    Binary::Eq,
    Binary::Ne,
    Binary::Lt,
    Binary::Le,
    Binary::Gt,
    Binary::Ge,
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::FloorDiv,
    Binary::Rem,
    Binary::Pow,
];

/// Expressions.
pub fn expr() -> BoxedStrategy<Spanned<Expr>> {
    let leaf = prop_oneof![
        3 => number(),
        1 => any::<bool>().prop_map(Expr::Bool),
        2 => text().prop_map(Expr::Str),
        3 => name().prop_map(Expr::Name),
        1 => Just(Expr::Input),
    ];
    let leaf = leaf.prop_map(at);
    leaf.prop_recursive(5, 24, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let operator = prop::sample::select(OPERATORS.to_vec()).prop_map(at);
        let call = (name(), vec((option::of(name()), inner.clone()), 0..3)).prop_map(|(name, args)| {
            let args = args.into_iter().map(|(name, value)| ArgExpr { name: name.map(at), value }).collect();
            Expr::Call(CallExpr { name: at(name), args, head: head() })
        });
        prop_oneof![
            4 => (operator, boxed.clone(), boxed.clone()).prop_map(|(op, a, b)| Expr::Binary(op, a, b)),
            2 => boxed.clone().prop_map(|operand| Expr::Unary(Unary::Neg, operand)),
            1 => boxed.clone().prop_map(|operand| Expr::Unary(Unary::Not, operand)),
            1 => (boxed.clone(), boxed.clone(), boxed.clone()).prop_map(|(a, b, c)| Expr::Cond(a, b, c)),
            1 => vec(inner.clone(), 0..4).prop_map(Expr::List),
            1 => call,
            1 => (boxed.clone(), name()).prop_map(|(object, name)| Expr::Field(object, at(name))),
            1 => (boxed.clone(), boxed).prop_map(|(list, index)| Expr::Index(list, index)),
        ]
        .prop_map(at)
    })
    .boxed()
}

/// Parts whose names differ.
fn apart<T: Clone + std::fmt::Debug + 'static>(
    part: BoxedStrategy<T>,
    most: usize,
    key: impl Fn(&T) -> String + Clone + 'static,
) -> BoxedStrategy<Vec<T>> {
    let distinct = move |parts: Vec<T>| {
        let mut seen = BTreeSet::new();
        parts.into_iter().filter(|part| seen.insert(key(part))).collect::<Vec<T>>()
    };
    vec(part, 0..=most).prop_map(distinct).boxed()
}

/// Arguments: all of them named, or `bare` of them without names.
fn args(bare: usize) -> BoxedStrategy<Vec<ArgExpr>> {
    let one = (name(), expr()).prop_map(|(name, value)| ArgExpr { name: Some(at(name)), value }).boxed();
    let named =
        apart(one, 3, |arg: &ArgExpr| arg.name.as_ref().map_or(String::new(), |name| name.value.clone()));
    let unnamed = vec(expr().prop_map(|value| ArgExpr { name: None, value }), 0..=bare);
    prop_oneof![named, unnamed].boxed()
}

fn call(name: BoxedStrategy<String>, bare: usize) -> BoxedStrategy<CallExpr> {
    (name, args(bare)).prop_map(|(name, args)| CallExpr { name: at(name), args, head: head() }).boxed()
}

fn chain() -> BoxedStrategy<Vec<CallExpr>> {
    let known =
        prop::sample::select(vec!["standardize", "clip", "impute", "log1p", "noise"]).prop_map(str::to_owned);
    // Beyond a signature there is no name, and YAML has no place.
    vec(
        prop_oneof![
            call(known.boxed(), 1),
            call(name(), 3).prop_filter("known", |call| {
                wellposed::data::Transform::find(&call.name.value).is_none()
            })
        ],
        0..3,
    )
    .boxed()
}

fn params() -> BoxedStrategy<Vec<ParamDecl>> {
    let one = (name(), option::of(expr()), option::of((expr(), expr())))
        .prop_map(|(name, default, range)| ParamDecl { name: at(name), default, range });
    apart(one.boxed(), 4, |param: &ParamDecl| param.name.value.clone())
}

/// Inputs or targets; a range belongs to targets alone.
fn declared(target: bool) -> BoxedStrategy<Vec<Declared>> {
    let args = vec((option::of(name()), expr()), 0..3).prop_map(|args| {
        args.into_iter().map(|(name, value)| ArgExpr { name: name.map(at), value }).collect::<Vec<_>>()
    });
    let kind = (name(), args, option::of(vec(expr(), 0..3)))
        .prop_map(|(name, args, dims)| at(TypeExpr { name: at(name), args, dims }));
    let range = option::of((expr(), expr()));
    let one = (name(), kind, range, chain()).prop_map(move |(name, kind, range, chain)| {
        let range = range.filter(|_| target);
        Declared { name: at(name), kind, range, chain }
    });
    apart(one.boxed(), 3, |declared: &Declared| declared.name.value.clone())
}

fn settings(names: BoxedStrategy<String>) -> BoxedStrategy<Vec<Setting>> {
    let one = (names, expr()).prop_map(|(name, value)| Setting { name: at(name), value });
    apart(one.boxed(), 4, |setting: &Setting| setting.name.value.clone())
}

fn chosen(names: &[&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(names.to_vec()).prop_map(str::to_owned).boxed()
}

fn positional(name: &str, values: Vec<Spanned<Expr>>) -> CallExpr {
    let args = values.into_iter().map(|value| ArgExpr { name: None, value }).collect();
    CallExpr { name: at(name.to_owned()), args, head: head() }
}

fn data() -> BoxedStrategy<Data> {
    let split = (name(), expr())
        .prop_map(|(name, path)| SplitDecl { name: at(name), source: positional("csv", vec![path]) });
    let splits = apart(split.boxed(), 3, |split: &SplitDecl| split.name.value.clone());
    let by =
        (chosen(&["hash", "column", "time"]), expr()).prop_map(|(name, key)| positional(&name, vec![key]));
    let rule =
        (by, settings(chosen(&["train", "val", "test"]))).prop_map(|(by, shares)| SplitRule { by, shares });
    let source = prop_oneof![
        (chosen(&["numeric", "target"]), vec(expr(), 0..4))
            .prop_map(|(kind, names)| positional(&kind, names)),
        (chosen(&["class", "category"]), vec(expr(), 1..3)).prop_map(|(kind, args)| positional(&kind, args)),
    ];
    let column = (name(), source, option::of(expr()), chain())
        .prop_map(|(name, source, shape, chain)| Column { name: at(name), source, shape, chain });
    let columns = apart(column.boxed(), 3, |column: &Column| column.name.value.clone());
    let own = (chosen(&["test", "val"]), name(), chain()).prop_map(|(split, group, chain)| Override {
        split: at(split),
        group: at(group),
        chain,
    });
    let overrides =
        apart(own.boxed(), 4, |own: &Override| format!("{}.{}", own.split.value, own.group.value));
    let generated = option::of(call(chosen(&["oversample"]), 2));
    (splits, option::of(rule), columns, overrides, generated)
        .prop_map(|(splits, rule, columns, mut overrides, generated)| {
            // One key in YAML for each split.
            let first = overrides.first().map(|own| own.split.value.clone());
            overrides.sort_by_key(|own| Some(own.split.value.clone()) != first);
            Data { splits, rule, columns, overrides, generated, head: head() }
        })
        .boxed()
}

fn reference() -> BoxedStrategy<Spanned<String>> {
    let part = prop_oneof![
        name().prop_map(|name| format!(".{name}")),
        Just(".shortcut".to_owned()),
        (0u8..20).prop_map(|i| format!("[{i}]"))
    ];
    let first = prop_oneof![4 => name(), 1 => Just("in".to_owned())];
    (first, vec(part, 0..3)).prop_map(|(first, rest)| at(first + &rest.concat())).boxed()
}

fn body_of(statement: BoxedStrategy<Statement>) -> BoxedStrategy<Body> {
    vec(statement, 0..4).prop_map(|statements| Body { statements, head: head() }).boxed()
}

fn statement_of(action: BoxedStrategy<Action>) -> BoxedStrategy<Statement> {
    (option::of(name()), action, vec(reference(), 0..3))
        .prop_map(|(label, action, from)| Statement { label: label.map(at), action, from, head: head() })
        .boxed()
}

/// Statements, nested.
pub fn body() -> BoxedStrategy<Body> {
    let leaf = statement_of(call(callee(), 1).prop_map(Action::Invoke).boxed());
    let statement = leaf.prop_recursive(3, 12, 3, |inner| {
        let body = body_of(inner.boxed());
        let repeat = (expr(), option::of(name()), body.clone())
            .prop_map(|(count, index, body)| Action::Repeat { count, index: index.map(at), body });
        let each = (name(), expr(), body.clone()).prop_map(|(variable, over, body)| Action::For {
            variable: at(variable),
            over,
            body,
        });
        let shortcut = (option::of(expr()), body.clone()).prop_map(|(when, body)| Shortcut { when, body });
        let residual =
            (body, option::of(shortcut)).prop_map(|(body, shortcut)| Action::Residual { body, shortcut });
        statement_of(prop_oneof![repeat, each, residual].boxed())
    });
    body_of(statement.boxed())
}

fn train() -> BoxedStrategy<Train> {
    let loss = call(chosen(&["cross_entropy", "mse", "huber", "other"]), 2);
    let penalty = (chosen(&["l1", "l2"]), expr(), option::of(chosen(&["weights", "all", "no"])))
        .prop_map(|(kind, factor, on)| Penalty { kind: at(kind), factor, on: on.map(at) });
    let optimizer = call(chosen(&["adam", "sgd", "adamw", "other"]), 2);
    (
        option::of(loss),
        vec(penalty, 0..4),
        option::of(optimizer),
        settings(chosen(&["batch", "epochs", "seed", "predict", "precision", "loss_scale"])),
    )
        .prop_map(|(loss, mut penalties, optimizer, settings)| {
            let first = penalties.first().map(|penalty| penalty.kind.value.clone());
            penalties.sort_by_key(|penalty| Some(penalty.kind.value.clone()) != first);
            Train { loss, penalties, optimizer, settings, head: head() }
        })
        .boxed()
}

/// Properties, of paths and of names that need quotation marks.
fn properties() -> BoxedStrategy<Vec<Property>> {
    let kind = chosen(&["rms", "dead", "loss_at_init", "invariant", "monotone", "causal", "other"]);
    let subject = prop_oneof![2 => reference(), 1 => text().prop_map(at)];
    let limit = (prop::sample::select(Relation::ALL.to_vec()), expr())
        .prop_map(|(relation, limit)| Bound::Beyond(relation, limit));
    let bound = prop_oneof![(expr(), expr()).prop_map(|(low, high)| Bound::Within(low, high)), limit];
    let one = (kind, vec(subject, 0..3), option::of(bound)).prop_map(|(kind, of, bound)| {
        let law = kind == "invariant" && !of.is_empty();
        Property { kind: at(kind), of, bound: bound.filter(|_| !law), head: head() }
    });
    vec(one, 0..3).boxed()
}

/// Functions of the spec's own: inputs without defaults, then parameters.
fn own(inputs: usize) -> BoxedStrategy<Vec<Own>> {
    let given = vec(name(), inputs);
    let slope =
        option::of((any::<bool>(), expr()).prop_map(|(surrogate, formula)| Slope { surrogate, formula }));
    let one = (name(), given, params(), expr(), slope).prop_map(|(name, given, further, value, slope)| {
        let mut params: Vec<ParamDecl> = Vec::new();
        let bare = |name| ParamDecl { name: at(name), default: None, range: None };
        for param in given.into_iter().map(bare).chain(further) {
            if !params.iter().any(|known| known.name == param.name) {
                params.push(param);
            }
        }
        Own { name: at(name), params, value, slope }
    });
    apart(one.boxed(), 2, |own: &Own| own.name.value.clone())
}

/// Whole specs, their arguments named as the parser names them.
pub fn spec() -> BoxedStrategy<Spec> {
    let model = (name(), params()).prop_map(|(name, params)| Model { name: at(name), params });
    let default = call(callee(), 1);
    let defaults = apart(default, 2, |call: &CallExpr| call.name.value.clone());
    let block =
        (callee(), params(), body()).prop_map(|(name, params, body)| Block { name: at(name), params, body });
    let blocks = apart(block.boxed(), 2, |block: &Block| block.name.value.clone());
    let first = (option::of(1i64..3), option::of(model), declared(false), declared(true), option::of(data()));
    let third = (own(1), own(2));
    let second = (defaults, blocks, option::of(body()), option::of(train()), settings(name()), properties());
    (first, second, third)
        .prop_map(|(first, second, (activations, losses))| {
            let (version, model, inputs, targets, data) = first;
            let (defaults, blocks, net, train, expect, properties) = second;
            let mut spec = Spec::new(file(), Notation::Dsl);
            spec.version = version.map(at);
            spec.model = model;
            spec.inputs = inputs;
            spec.targets = targets;
            spec.data = data;
            spec.activations = activations;
            spec.losses = losses;
            spec.defaults = defaults;
            spec.blocks = blocks;
            spec.net = net;
            spec.train = train;
            spec.expect = expect;
            spec.properties = properties;
            names::resolve(&mut spec);
            spec
        })
        .boxed()
}

//! The JSON Schema (draft-07) of the YAML notation, for completion and checks in editors.
//!
//! Contract: generated from the registries, so that it lists exactly what the reader knows: every op, loss, optimiser, transform and
//! initialiser with its parameters, their defaults and documentation. It is closed wherever the language is. A statement alone may
//! have a key that it does not list, because blocks are called like ops; what a schema cannot say (scopes, shapes, which
//! arguments a `default` supplies) is left to `wellposed check`.

use crate::args::{Default, Kind, Param, Value as Literal, literal};
use crate::data::Transform;
use crate::diag::undent;
use crate::front::ast::Relation;
use crate::front::names::{PRECISIONS, losses};
use crate::front::optimizers;
use crate::front::properties::{self, SYMMETRIES};
use crate::inits::Init;
use crate::manual::Callable;
use crate::ops::{ACTIVATION_PAGE, LOSS_PAGE, OpKind};
use serde_json::{Map, Value, json};

/// A name that people choose.
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// The path of a node.
const PATH: &str = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*|\\[[0-9]+\\])*$";
/// An integer with separators, which is text for YAML 1.2.
const DIGITS: &str = "^[0-9][0-9_]*$";

/// The schema as the text of `grammar/model.schema.json`.
///
/// # Panics
/// Never: the schema is plain JSON.
#[must_use]
pub fn text() -> String {
    let text = serde_json::to_string_pretty(&schema())
        .unwrap_or_else(|error| unreachable!("internal: the schema is no JSON: {error}"));
    text + "\n"
}

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let sections = json!({
        "spec": {"const": 1, "description": "The version of the language."},
        "model": name("The name of the model."),
        "params": reference("params"),
        "activations": described("Activations of the spec's own, by name.", of_names(reference("activation"))),
        "losses": described("Losses of the spec's own, by name.", of_names(reference("loss"))),
        "inputs": described("Declared inputs.", of_names(reference("input"))),
        "targets": described("Declared targets.", of_names(reference("target"))),
        "data": reference("data"),
        "defaults": reference("defaults"),
        "blocks": described("Blocks by name.", of_names(reference("block"))),
        "net": described("The statements of the net.", reference("body")),
        "train": reference("train"),
        "expect": reference("expect"),
        "properties": described("What every initialisation is to satisfy.", list(reference("property"))),
    });
    let mut root = closed(sections, &["spec", "model", "net"]);
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("wellposed model spec");
    root["description"] = json!(
        "A model in the YAML notation of wellposed, version 1. A value that begins with `=` is an expression."
    );
    root["definitions"] = definitions();
    root
}

fn definitions() -> Value {
    let mut all = Map::new();
    let mut define = |name: String, value: Value| all.insert(name, value);
    define(
        "expression".to_owned(),
        json!({"type": "string", "pattern": "^=", "description": "An expression."}),
    );
    define(
        "digits".to_owned(),
        json!({"type": "string", "pattern": DIGITS, "description": "An integer, as in 1_000."}),
    );
    define(
        "value".to_owned(),
        any([json!({"type": ["number", "boolean", "string"]}), list(reference("value"))]),
    );
    define("initialiser".to_owned(), initialiser());
    define("params".to_owned(), described("Parameters with their defaults.", of_names(reference("param"))));
    define("param".to_owned(), param());
    define("input".to_owned(), declared("^(f64|f32|unit|u8|int) *\\[ *B.*\\]$", "f64[B, 3, 32, 32]", false));
    let target = "^(class *\\(.*\\).*|one_hot *\\(.*\\)|(f64|unit|int) *\\[ *B.*\\])$";
    define("target".to_owned(), declared(target, "class(10)", true));
    define("activation".to_owned(), own(name("The input."), ACTIVATION_PAGE));
    define("loss".to_owned(), own(list(name("Prediction, then target.")), LOSS_PAGE));
    define("data".to_owned(), data());
    define("column".to_owned(), column());
    define("chain".to_owned(), described("Transforms, applied in order.", list(reference("transform"))));
    define("transform".to_owned(), transform());
    define("defaults".to_owned(), defaults());
    define(
        "block".to_owned(),
        closed(json!({"params": reference("params"), "body": reference("body")}), &["body"]),
    );
    define("body".to_owned(), list(reference("statement")));
    define("statement".to_owned(), statement());
    define("from".to_owned(), from());
    define("train".to_owned(), train());
    define("penalty".to_owned(), penalty());
    define("expect".to_owned(), expect());
    define("property".to_owned(), property());
    for callable in ops().chain(Transform::ALL.iter().copied()).chain(optimizers::ALL) {
        define(format!("{}.arguments", callable.name), arguments(callable, &[]));
    }
    Value::Object(all)
}

/// The ops that statements name.
fn ops() -> impl Iterator<Item = &'static Callable> {
    OpKind::ALL.iter().copied().filter(|op| !losses().any(|loss| loss == op.name))
}

// ---- building blocks ----------------------------------------------------------------------------------------------------------

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

fn any(options: impl IntoIterator<Item = Value>) -> Value {
    json!({"anyOf": options.into_iter().collect::<Vec<_>>()})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn name(description: &str) -> Value {
    json!({"type": "string", "pattern": NAME, "description": description})
}

fn described(description: &str, value: Value) -> Value {
    json!({"description": description, "allOf": [value]})
}

/// A mapping with these keys and no others.
fn closed(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A mapping from chosen names.
fn of_names(value: Value) -> Value {
    json!({"type": "object", "additionalProperties": value})
}

/// A mapping with exactly one of these keys.
fn one_of(properties: Map<String, Value>) -> Value {
    let options = properties.into_iter().map(|(key, value)| {
        let description = value.get("description").cloned().unwrap_or_default();
        let mut option = closed(json!({key.as_str(): value}), &[&key]);
        option["description"] = description;
        option
    });
    any(options)
}

/// Numbers of at least `least`, and what gives one.
fn integer(least: i64) -> Value {
    any([json!({"type": "integer", "minimum": least}), reference("digits"), reference("expression")])
}

fn number() -> Value {
    any([json!({"type": "number"}), reference("digits"), reference("expression")])
}

// ---- signatures ---------------------------------------------------------------------------------------------------------------

/// What a parameter of a kind takes.
fn kind(kind: Kind) -> Value {
    let listed = |item: Value| any([item.clone(), list(item)]);
    match kind {
        Kind::Size => integer(1),
        Kind::Count => integer(0),
        Kind::SizePair => listed(integer(1)),
        Kind::Padding => any([listed(integer(0)), json!({"const": "same"})]),
        Kind::Shape => {
            any([list(any([json!({"type": "integer"}), reference("expression")])), reference("expression")])
        }
        Kind::Axis => any([json!({"type": "integer"}), reference("expression")]),
        Kind::Number => number(),
        Kind::Numbers => listed(number()),
        Kind::NumbersOr(words) => any([listed(number()), json!({"enum": words})]),
        Kind::Flag => any([json!({"type": "boolean"}), reference("expression")]),
        Kind::Word(words) => any([json!({"enum": words}), reference("expression")]),
        Kind::Init => reference("initialiser"),
        Kind::Text => json!({"type": ["string", "number"]}),
        Kind::Node => any([json!({"type": "string", "pattern": PATH}), reference("expression")]),
    }
}

fn parameter(param: &Param) -> Value {
    let mut value = described(param.doc, kind(param.kind));
    if let Default::Is(text) = param.default {
        value["default"] = match literal(text) {
            Literal::Int(i) => json!(i),
            Literal::Float(x) => json!(x),
            Literal::Bool(b) => json!(b),
            _ => json!(text),
        };
    }
    value
}

/// The arguments of a callable by name; `lead` come before its signature.
fn by_name(callable: &Callable, lead: &[&str], required: bool) -> Value {
    let mut properties = Map::new();
    for name in lead {
        properties.insert((*name).to_owned(), reference("value"));
    }
    for param in callable.signature {
        properties.insert(param.name.to_owned(), parameter(param));
    }
    let needed = callable.signature.iter().filter(|param| required && param.default == Default::Required);
    let needed: Vec<&str> = lead.iter().copied().chain(needed.map(|param| param.name)).collect();
    closed(Value::Object(properties), &needed)
}

/// The arguments of a callable: by name, the first alone, or none. A `default` may supply what is required.
fn arguments(callable: &Callable, lead: &[&str]) -> Value {
    let required = callable.group == "transform" || callable.group == "optimiser";
    let mut options = vec![by_name(callable, lead, required)];
    if !required {
        options.push(json!({"type": "null"}));
    } else if callable.signature.len() > 1 {
        // Several by position.
        options.push(list(reference("value")));
    }
    options.extend(callable.signature.first().map(|first| kind(first.kind)));
    let mut value = any(options);
    value["description"] = json!(callable.markdown());
    value
}

/// Names that are written without arguments.
fn bare(callables: impl Iterator<Item = &'static Callable>) -> Value {
    let names: Vec<&str> = callables
        .filter(|callable| callable.signature.iter().all(|param| param.default != Default::Required))
        .map(|callable| callable.name)
        .collect();
    json!({"enum": names})
}

/// The callables, each with a schema of its arguments.
fn table(callables: impl Iterator<Item = &'static Callable>) -> Map<String, Value> {
    callables
        .map(|callable| {
            let value = described(&callable.summary(), reference(&format!("{}.arguments", callable.name)));
            (callable.name.to_owned(), value)
        })
        .collect()
}

fn initialiser() -> Value {
    let mut options: Vec<Value> = Vec::new();
    for init in Init::ALL {
        let signature: Vec<String> = init
            .signature
            .iter()
            .map(|param| match param.default {
                Default::Is(text) => format!("{}={text}", param.name),
                Default::Required | Default::Absent => param.name.to_owned(),
            })
            .collect();
        let description = format!("{}({}): {}", init.name, signature.join(", "), init.summary());
        if init.signature.iter().all(|param| param.default != Default::Required) {
            options.push(json!({"const": init.name, "description": description}));
        }
        if !init.signature.is_empty() {
            let pattern = format!("^{}\\(.*\\)$", init.name);
            options.push(json!({"type": "string", "pattern": pattern, "description": description}));
        }
    }
    options.push(reference("expression"));
    any(options)
}

// ---- sections -----------------------------------------------------------------------------------------------------------------

fn param() -> Value {
    any([
        json!({"type": "null", "description": "A parameter that a call must give."}),
        reference("value"),
        closed(json!({"value": reference("value"), "in": ends("The ends, inclusive.")}), &[]),
    ])
}

/// The two ends of a range.
fn ends(description: &str) -> Value {
    json!({"type": "array", "items": reference("value"), "description": description})
}

fn declared(pattern: &str, example: &str, target: bool) -> Value {
    let kind = json!({
        "type": "string", "pattern": pattern,
        "description": format!("The type, such as {example}; B is the batch."),
    });
    let mut parts = json!({"type": kind, "prepare": reference("chain")});
    if target {
        parts["in"] = ends("What the values fill before they are prepared, both ends inclusive.");
    }
    any([kind, closed(parts, &["type"])])
}

/// A function of the spec's own.
fn own(of: Value, page: &str) -> Value {
    let formula = |description: &str| described(description, json!({"type": ["string", "number"]}));
    let parts = json!({
        "of": of,
        "params": reference("params"),
        "value": formula("The formula, without `=`."),
        "grad": formula("Its derivative by the first input, which is checked."),
        "surrogate": formula("What training follows in place of the derivative."),
    });
    let mut value = closed(parts, &["of", "value"]);
    value["description"] = json!(undent(page));
    value
}

fn data() -> Value {
    let file = closed(
        json!({"csv": {"type": "string", "description": "The path, relative to the spec."}}),
        &["csv"],
    );
    let splits = closed(json!({"train": file, "val": file, "test": file, "all": file}), &[]);
    let key = json!({"type": "string"});
    let facts = json!({"column": key, "group": key, "time": key});
    let divided = any([key.clone(), closed(facts, &["column"])]);
    let by_time = any([key.clone(), closed(json!({"column": key, "group": key}), &["column"])]);
    let by = any([
        closed(json!({"hash": divided}), &["hash"]),
        closed(json!({"column": divided}), &["column"]),
        closed(json!({"time": by_time}), &["time"]),
        closed(json!({"file": closed(json!({"group": key, "time": key}), &[])}), &["file"]),
    ]);
    let share = integer(0);
    let rule = closed(json!({"by": by, "train": share, "val": share, "test": share}), &["by"]);
    let group = of_names(reference("chain"));
    let on = closed(json!({"train": group, "val": group, "test": group}), &[]);
    let copied = closed(json!({"by": key, "only": {"enum": ["train", "always"]}}), &["by", "only"]);
    let parts = json!({
        "rows": described(
            "Copies rows, so that every class has as many as the largest.",
            closed(json!({"oversample": copied}), &["oversample"]),
        ),
        "splits": described("The file of each split, or of all rows.", splits),
        "split": described("How the rows of `all` are divided.", rule),
        "columns": described("Groups of columns by name.", of_names(reference("column"))),
        "on": described("Chains that replace others on one split.", on),
    });
    closed(parts, &[])
}

fn column() -> Value {
    let text = json!({"type": "string"});
    let names = any([text.clone(), list(text.clone())]);
    let classes = any([integer(1), list(text.clone())]);
    let class = closed(json!({"column": text, "classes": classes}), &["column", "classes"]);
    let vocabulary = any([list(text.clone()), reference("expression")]);
    let category =
        any([text.clone(), closed(json!({"column": text, "vocabulary": vocabulary}), &["column"])]);
    let shape = any([list(integer(1)), reference("expression")]);
    let kinds = [("numeric", names.clone()), ("target", names), ("class", class), ("category", category)];
    any(kinds.map(|(kind, value)| {
        closed(json!({kind: value, "as": shape, "prepare": reference("chain")}), &[kind])
    }))
}

fn transform() -> Value {
    let all = || Transform::ALL.iter().copied();
    any([bare(all()), one_of(table(all()))])
}

fn defaults() -> Value {
    let properties: Map<String, Value> =
        ops().map(|op| (op.name.to_owned(), by_name(op, &[], false))).collect();
    described(
        "Arguments that apply wherever a call does not give them.",
        closed(Value::Object(properties), &[]),
    )
}

fn from() -> Value {
    let path = json!({"type": "string", "pattern": PATH});
    described("The inputs, instead of the value above.", any([path.clone(), list(path)]))
}

fn statement() -> Value {
    let id = name("The name of the node, part of the checkpoint.");
    let with = |own: Value, required: &[&str]| {
        let mut parts = json!({"id": id, "from": reference("from")});
        if let (Value::Object(parts), Value::Object(own)) = (&mut parts, own) {
            parts.extend(own);
        }
        closed(parts, required)
    };
    let body = reference("body");
    let repeat = with(
        json!({"repeat": integer(0), "as": name("The name of the index."), "body": body}),
        &["repeat", "body"],
    );
    let each = described(
        "One variable and its values.",
        of_names(any([list(reference("value")), reference("expression")])),
    );
    let each = with(json!({"for": each, "body": body}), &["for", "body"]);
    let when = any([json!({"type": "boolean"}), reference("expression")]);
    let shortcut = closed(json!({"when": when, "body": body}), &["body"]);
    let residual = with(json!({"residual": body, "shortcut": shortcut}), &["residual"]);
    let mut calls = table(ops());
    for key in ["repeat", "as", "for", "body", "residual", "shortcut"] {
        calls.insert(key.to_owned(), json!(false));
    }
    let mut call = with(Value::Object(calls), &[]);
    // Blocks and activations of the spec's own are called like ops.
    call["additionalProperties"] =
        any([json!({"type": "null"}), reference("value"), of_names(reference("value"))]);
    let word = json!({"type": "string", "pattern": NAME, "description": "An op or block without arguments."});
    any([word, call, repeat, each, residual])
}

fn train() -> Value {
    let compared = ["output", "target"];
    let losses = losses().filter_map(OpKind::find).map(|loss| {
        let named = by_name(loss, &compared, true);
        let mut value = any([list(reference("value")), named]);
        value["description"] = json!(loss.markdown());
        (loss.name.to_owned(), value)
    });
    // Those of the language are closed; only their own schema may hold them.
    let mut own_loss = of_names(any([list(reference("value")), of_names(reference("value"))]));
    own_loss["properties"] = self::losses().map(|loss| (loss.to_owned(), json!(false))).collect();
    own_loss["description"] = json!("A loss of the spec's own.");
    let several = any([reference("penalty"), list(reference("penalty"))]);
    let parts = json!({
        "loss": described("What training minimises.", any([one_of(losses.collect()), own_loss])),
        "l1": described("Adds the factor times the sum of |w|.", several.clone()),
        "l2": described("Adds half the factor times the sum of w^2.", several),
        "optimizer": described("The optimiser.", one_of(table(optimizers::ALL.iter()))),
        "batch": described("Samples in a step.", integer(1)),
        "epochs": described("Passes through the training split.", integer(1)),
        "seed": described("The seed of initialisation and order.", integer(0)),
        "precision": described(
            "The numbers that training is declared to run in.",
            json!({"enum": PRECISIONS}),
        ),
        "loss_scale": described("What the loss is multiplied by before the way back.", number()),
        "predict": described(
            "What the model answers: a node, or unscale of a node and the target whose chain is undone on it.",
            any([
                json!({"type": "string"}),
                closed(json!({"unscale": list(json!({"type": "string", "pattern": PATH}))}), &["unscale"]),
            ]),
        ),
    });
    closed(parts, &[])
}

fn penalty() -> Value {
    any([number(), closed(json!({"weights": number(), "all": number()}), &[])])
}

fn expect() -> Value {
    let axes = list(any([json!({"const": "B"}), integer(1)]));
    let parts = json!({
        "params": described("The number of trainable parameters.", integer(0)),
        "state": described("The number of elements that batches update.", integer(0)),
        "output": described("The shape of the output, as in [B, 10].", axes),
    });
    closed(parts, &[])
}

/// One form for each kind, and for each of its bounds.
fn property() -> Value {
    let text = json!({"type": "string"});
    let symmetry = json!({"enum": SYMMETRIES});
    any(properties::ALL.iter().flat_map(|kind| {
        let about = match (kind.name, kind.takes) {
            ("invariant", _) => any([symmetry.clone(), list(text.clone())]),
            (_, []) => any([json!({"type": "null"}), closed(json!({}), &[])]),
            (_, [_]) => text.clone(),
            _ => list(text.clone()),
        };
        let form = |bound: Option<(&str, Value)>| {
            let mut parts = json!({kind.name: described(kind.summary, about.clone())});
            let mut needed = vec![kind.name];
            if let Some((key, value)) = bound {
                parts[key] = value;
                needed.push(key);
            }
            closed(parts, &needed)
        };
        if !kind.bounded {
            return vec![form(None)];
        }
        let range = ("in", ends("Where it is to lie, both ends included."));
        let limits = Relation::ALL.map(|relation| (relation.words().1, number()));
        std::iter::once(range).chain(limits).map(|bound| form(Some(bound))).collect()
    }))
}

//! Inputs and targets: declared ones, and the column groups of the data section.

use super::stored::Shared;
use super::{Lowering, eval};
use crate::args::{MAX_ELEMENTS, Value, word};
use crate::data::{Content, Select, Step, Transform};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::front::ast::{CallExpr, Declared, TypeExpr};
use crate::graph::{Feed, FeedKind};
use crate::source::{Span, Spanned};
use crate::tensor::Shape;
use crate::text::plural;

impl Lowering<'_> {
    pub(super) fn feeds(&mut self) {
        let spec = self.spec;
        if let Some(data) = &spec.data {
            self.data(data);
        }
        let groups = self.graph.data.as_ref().map_or(Vec::new(), |plan| plan.groups.clone());
        for group in groups {
            let kind = match &group.content {
                Content::Numeric | Content::Target => FeedKind::Real,
                Content::Category(_) if group.one_hot() => FeedKind::Unit,
                Content::Category(_) => FeedKind::Int,
                Content::Class(classes, labels) => FeedKind::Class(Some(*classes), labels.clone()),
            };
            let shape = if group.columns.is_empty() { None } else { group.shape() };
            let target = group.content.is_target();
            let raw = (!group.columns.is_empty()).then(|| Shape::new([group.columns.len()]));
            let feed = Feed {
                name: group.name.value,
                raw,
                shape,
                kind,
                range: None,
                target,
                chain: Vec::new(),
                span: group.name.span,
            };
            self.feed(feed);
        }
        for declared in &spec.inputs {
            self.declared(declared, false);
        }
        for declared in &spec.targets {
            self.declared(declared, true);
        }
        let has_input = self.graph.feeds.iter().any(|(_, feed)| !feed.target);
        if !has_input && self.out.is_empty() {
            self.missing("input", "declare `input x: f64[B, 4]`, or a column group in `data`");
        }
    }

    fn feed(&mut self, feed: Feed) {
        if let Some(first) = self.graph.feed(&feed.name) {
            let message = format!("two inputs or targets are called `{}`", feed.name);
            let first = self.graph.feeds[first].span;
            self.out.push(
                Diagnostic::new(&rules::DUPLICATE_NAME, feed.span, message)
                    .label(first, "first declared here"),
            );
            return;
        }
        self.graph.feeds.push(feed);
    }

    fn declared(&mut self, declared: &Declared, target: bool) {
        let chain = self.chain(&declared.name.value, &declared.chain);
        let (kind, shape) = self.type_of(&declared.kind, target);
        for step in &chain {
            let name = &declared.name.value;
            if let Some(fit) = &step.fit {
                let kind = step.transform.name();
                let message = format!("`{name}` has no rows to fit `{kind}` on");
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, fit.span, message).help(format!(
                    "a declared input takes given constants: {kind}(stats=\"train.nn.stats.json\"), or the numbers themselves"
                )));
            } else if matches!(step.transform, Transform::Back(_)) {
                let message = format!("`{name}` has no earlier rows: `lag` needs the columns of a file");
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, step.span, message));
            } else if matches!(step.transform, Transform::OneHot(_)) {
                let message = format!("`{name}` holds numbers: `one_hot` needs a category");
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, step.span, message));
            }
            if target && matches!(step.transform, Transform::Select(_)) {
                self.out.push(of_target(name, step));
            } else if matches!(kind, Some(FeedKind::Class(..))) {
                self.out.push(of_labels(name, step));
            }
        }
        let raw = shape;
        let shape = raw.as_ref().map(|shape| self.check_chain(&chain, shape, None));
        let range = self.target_range(declared, kind.as_ref());
        let name = declared.name.value.clone();
        if target && kind.is_none() {
            // Which losses it goes with is unknown.
            self.lost.learn(&name);
            self.graph.partial = true;
            return;
        }
        self.feed(Feed {
            name,
            raw,
            shape,
            kind: kind.unwrap_or(FeedKind::Real),
            range,
            target,
            chain,
            span: declared.name.span,
        });
    }

    /// The range that a target of real numbers declares.
    fn target_range(&mut self, declared: &Declared, kind: Option<&FeedKind>) -> Option<(f64, f64)> {
        let (low, high) = declared.range.as_ref()?;
        let ends = self.ends(low, high)?;
        if kind.is_some_and(|kind| *kind != FeedKind::Real) {
            let place = low.span.to(high.span);
            let message = format!("`{}` is a `{}`", declared.name.value, declared.kind.value.name.value);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, place, message)
                    .remark("only real numbers have a range to declare")
                    .help("write f64[B, 1] in 0..10, or leave the range out"),
            );
            return None;
        }
        Some(ends)
    }

    /// Whether every step of a chain fits the row that it meets; the shape of the row behind it. `wanted` is the shape that the row is to
    /// have there.
    pub(super) fn check_chain(&mut self, chain: &[Step], raw: &Shape, wanted: Option<&Shape>) -> Shape {
        let mut shape = raw.clone();
        for step in chain {
            let width = shape.elements();
            if let Some(constants) = step.transform.constants() {
                self.check_constants(step.span, constants, &shape);
            }
            let Transform::Select(select) = &step.transform else { continue };
            let message = match select {
                Select::Fitted { top, .. } if *top > width => {
                    let message = format!("`select` keeps {top} of {}", plural(width, "column"));
                    Some((&rules::OUT_OF_RANGE, message, format!("at most {width} can be kept")))
                }
                Select::Given { of: Some(of), .. } if *of != width => {
                    let message = format!("`select` chooses from {of} columns, and there are {width}");
                    Some((&rules::SHAPE_MISMATCH, message, "the choice is for other columns".to_owned()))
                }
                Select::Given { columns, .. } => columns.iter().find(|place| **place >= width).map(|place| {
                    let message = format!("`select` keeps column {place} of {}", plural(width, "column"));
                    (&rules::OUT_OF_RANGE, message, "columns are counted from 0".to_owned())
                }),
                Select::Fitted { .. } => None,
            };
            if let Some((rule, message, remark)) = message {
                self.out.push(Diagnostic::new(rule, step.span, message).remark(remark));
            }
            if wanted.is_none() && raw.rank() > 2 {
                let message = format!("`select` takes columns out of a row, and the input is {raw}");
                self.out.push(Diagnostic::new(&rules::SHAPE_MISMATCH, step.span, message));
            }
            shape = Shape::new([step.transform.width(width)]);
        }
        match wanted {
            Some(wanted) if wanted.elements() == shape.elements() => wanted.clone(),
            _ => shape,
        }
    }

    /// Constants come one for all elements, or one for each channel or element.
    pub(super) fn check_constants(&mut self, span: Span, constants: usize, shape: &Shape) {
        let channels = shape.channels().unwrap_or(1);
        if constants != 1 && constants != channels && constants != shape.elements() {
            let message = format!("{constants} constants for {channels} channels");
            self.out.push(
                Diagnostic::new(&rules::SHAPE_MISMATCH, span, message)
                    .note("in", format!("the input is {shape}")),
            );
        }
    }

    /// Kind and shape of a declared type; what is wrong is reported and unknown.
    fn type_of(&mut self, kind: &Spanned<TypeExpr>, target: bool) -> (Option<FeedKind>, Option<Shape>) {
        let TypeExpr { name, args, dims } = &kind.value;
        let env = self.env();
        let mut shape = match dims {
            Some(dims) => self.axes(dims, kind.span),
            None => None,
        };
        let read = match name.value.as_str() {
            "f64" | "f32" => FeedKind::Real,
            "unit" => FeedKind::Unit,
            "u8" => FeedKind::Byte,
            "int" if target => FeedKind::Class(None, None),
            "int" => FeedKind::Int,
            "class" | "one_hot" if target => {
                let one_hot = name.value == "one_hot";
                let values: Vec<_> =
                    args.iter().filter_map(|arg| eval::eval(&arg.value, &env, &mut self.out)).collect();
                if dims.is_none() {
                    shape = Some(Shape::new([]));
                }
                match values.as_slice() {
                    [classes] => match self.classes(classes) {
                        Some((classes, _)) if one_hot => {
                            if let Some(dims) = dims.as_ref().and_then(|dims| dims.first()) {
                                let message = "`one_hot` has one axis, the classes";
                                let faulty = Diagnostic::new(&rules::WRONG_TYPE, dims.span, message);
                                self.out.push(faulty.help(format!("write one_hot({classes})")));
                            }
                            shape = Some(Shape::new([classes]));
                            FeedKind::OneHot
                        }
                        Some((classes, labels)) => FeedKind::Class(Some(classes), labels),
                        None => return (None, shape),
                    },
                    _ => {
                        let word = &name.value;
                        let message = format!("`{word}` takes the number of classes, or their names");
                        self.out.push(
                            Diagnostic::new(&rules::MISSING, kind.span, message)
                                .help(format!("write {word}(10)")),
                        );
                        return (None, shape);
                    }
                }
            }
            other => {
                let known: &[&str] = if target {
                    &["f64", "unit", "int", "class", "one_hot"]
                } else {
                    &["f64", "f32", "unit", "u8", "int"]
                };
                let near = did_you_mean(other, known.iter().copied());
                let message =
                    format!("there is no {} type `{other}`", if target { "target" } else { "input" });
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, name.span, message).help(
                    near.map_or(format!("the types are {}", known.join(", ")), |near| {
                        format!("did you mean `{near}`?")
                    }),
                ));
                return (None, shape);
            }
        };
        if dims.is_none() && !matches!(name.value.as_str(), "class" | "one_hot") {
            let message = format!("`{}` needs its axes", name.value);
            self.out.push(
                Diagnostic::new(&rules::MISSING, kind.span, message)
                    .help(format!("write {}[B, 4]", name.value)),
            );
        }
        (Some(read), shape)
    }

    /// The axes of a type: `B` first, then sizes.
    fn axes(&mut self, dims: &[Spanned<crate::front::ast::Expr>], span: Span) -> Option<Shape> {
        let env = self.env();
        let values: Vec<_> = dims.iter().map(|dim| eval::eval(dim, &env, &mut self.out)).collect();
        let values: Vec<Spanned<Value>> = values.into_iter().collect::<Option<_>>()?;
        let Some((first, sizes)) = values.split_first() else {
            self.out.push(
                Diagnostic::new(&rules::MISSING, span, "a shape without axes")
                    .help("the first axis is the batch, B"),
            );
            return None;
        };
        if first.value != Value::Symbol("B".to_owned()) {
            let message = format!("the first axis is `{}`", first.value);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, first.span, message)
                    .remark("must be the batch, B")
                    .help("write [B, ...]"),
            );
            return None;
        }
        let mut sample = Vec::new();
        for size in sizes {
            match size.value {
                Value::Int(n) if n >= 1 && n.unsigned_abs() <= MAX_ELEMENTS => {
                    sample.push(usize::try_from(n).ok()?);
                }
                Value::Int(n) if n >= 1 => {
                    let message = format!("an axis of {n} elements: more than 2^40");
                    self.out.push(Diagnostic::new(&rules::TOO_LARGE, size.span, message));
                    return None;
                }
                _ => {
                    self.out.push(crate::args::mistyped(
                        "an axis",
                        crate::args::Kind::Size,
                        size,
                        &env.scope(),
                    ));
                    return None;
                }
            }
        }
        let shape = Shape::new(sample);
        if shape.elements() as u64 > MAX_ELEMENTS {
            let message = format!("a sample of shape {shape}: more than 2^40 elements");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, span, message));
            return None;
        }
        Some(shape)
    }

    /// The number of classes and their names, from `10` or `["no", "yes"]`.
    pub(super) fn classes(&mut self, value: &Spanned<Value>) -> Option<(usize, Option<Vec<String>>)> {
        match &value.value {
            Value::Int(n) if *n >= 1 && n.unsigned_abs() <= MAX_ELEMENTS => {
                Some((usize::try_from(*n).ok()?, None))
            }
            Value::List(items) if !items.is_empty() => {
                let mut labels = Vec::new();
                for item in items.iter() {
                    let Some(label) = word(&item.value).map(str::to_owned) else {
                        let message = format!("the label `{}` is not text", item.value);
                        self.out.push(
                            Diagnostic::new(&rules::WRONG_TYPE, item.span, message)
                                .help("write labels in quotation marks"),
                        );
                        return None;
                    };
                    if labels.contains(&label) {
                        let message = format!("the label `{label}` is listed twice");
                        self.out.push(Diagnostic::new(&rules::GIVEN_TWICE, item.span, message));
                        return None;
                    }
                    labels.push(label);
                }
                Some((labels.len(), Some(labels)))
            }
            _ => {
                let what = format!("`{}` is no set of classes", value.value);
                self.out.push(
                    Diagnostic::new(&rules::WRONG_TYPE, value.span, what)
                        .remark("must be a number of at least 1, or a list of labels"),
                );
                None
            }
        }
    }

    /// Reads a chain of transforms; faulty steps are reported and left out.
    pub(super) fn chain(&mut self, name: &str, calls: &[CallExpr]) -> Vec<Step> {
        let env = self.env();
        let scope = env.scope();
        let mut steps = Vec::new();
        for (i, call) in calls.iter().enumerate() {
            let kind = call.name.value.as_str();
            let shares = |call: &&CallExpr| {
                call.name.value == kind
                    && call.args.iter().any(|arg| arg.name.as_ref().is_some_and(|name| name.value == "stats"))
            };
            let nth = calls[..i].iter().filter(shares).count();
            let Some(call) = eval::invocation(call, &env, &mut self.out) else { continue };
            let Some(Shared { call, words, fit }) = self.with_stored(name, nth, call) else {
                // What the net sees is unknown without the constants.
                self.graph.partial = true;
                continue;
            };
            let mut step = Transform::step(&call, &scope, &mut self.out);
            if let Some(step) = &mut step {
                step.shared = fit;
                if let Transform::OneHot(encoding) = &mut step.transform {
                    encoding.shared = words;
                }
            }
            steps.extend(step);
        }
        steps
    }
}

/// The finding for a target of which something is to be left out.
pub(super) fn of_target(name: &str, step: &Step) -> Diagnostic {
    Diagnostic::new(&rules::WRONG_TYPE, step.span, format!("`{name}` is a target: `select` is for inputs"))
        .help("name the columns of the target that are wanted")
}

/// The finding for class labels that a step would turn into other numbers.
pub(super) fn of_labels(name: &str, step: &Step) -> Diagnostic {
    let message = format!("`{name}` holds class labels, which no transform applies to");
    Diagnostic::new(&rules::WRONG_TYPE, step.span, message)
}

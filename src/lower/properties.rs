//! Declared properties: kinds, names and bounds are resolved; nothing is run.
//!
//! A name that nothing declares is an error with the nearest name; what cannot be decided on the graph (a position axis that is not
//! there, a model without a loss) is left to the run, which skips the property and says why.

use super::{Lowering, eval};
use crate::args::{Kind as ArgKind, mistyped};
use crate::diag::{Diagnostic, Rule, did_you_mean, rules};
use crate::front::ast::{Bound as BoundExpr, Property as PropertyExpr, Relation};
use crate::front::print;
use crate::front::properties::{self, Kind, SYMMETRIES};
use crate::graph::{Bound, Feed, Handle, Law, Node, Place, Property, Quantity, Source, Symmetry};
use crate::ops::Category;
use crate::source::Spanned;
use crate::tensor::Shape;

type Name = Spanned<String>;

impl Lowering<'_> {
    pub(super) fn properties(&mut self) {
        for property in &self.spec.properties {
            if let Some(law) = self.law(property) {
                let subject = print::subject(&property.kind.value, &property.of);
                self.graph.properties.push(Property { law, subject, span: property.head.0 });
            }
        }
    }

    fn law(&mut self, property: &PropertyExpr) -> Option<Law> {
        let PropertyExpr { kind: name, of, bound, head } = property;
        let Some(kind) = properties::find(&name.value) else {
            let near = did_you_mean(&name.value, properties::ALL.iter().map(|kind| kind.name));
            let all: Vec<&str> = properties::ALL.iter().map(|kind| kind.name).collect();
            let known = format!("the properties are {}", all.join(", "));
            let message = format!("there is no property `{}`", name.value);
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_KEY, name.span, message)
                    .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
            );
            return None;
        };
        let fits = self.counts(kind, property);
        let bound = match bound {
            Some(bound) if kind.bounded => Some(self.bound(bound)?),
            Some(_) => {
                let message = format!("`{}` is a law and has no bound", kind.name);
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, head.0, message));
                return None;
            }
            None if kind.bounded => {
                let message = format!("`{}` needs a bound", kind.name);
                let help = "write in 0.5..2, or < 2, <= 2, > 0.5, >= 0.5 behind it";
                self.out.push(Diagnostic::new(&rules::MISSING, head.0, message).help(help));
                return None;
            }
            None => None,
        };
        if !fits {
            return None;
        }
        match bound {
            Some(bound) => Some(Law::Within(self.quantity(kind.name, of)?, bound)),
            None => match (kind.name, of.as_slice()) {
                ("invariant", [symmetry, input @ ..]) => self.invariant(symmetry, input.first()),
                ("monotone", [output, input]) => self.monotone(output, input),
                (_, [node]) => Some(Law::Causal(self.node(node, kind.name)?)),
                _ => None,
            },
        }
    }

    /// Whether as many names are given as the kind takes.
    fn counts(&mut self, kind: &Kind, property: &PropertyExpr) -> bool {
        let PropertyExpr { of, head, .. } = property;
        let form = match (kind.name, kind.takes) {
            ("invariant", _) => "invariant SYMMETRY, or invariant SYMMETRY(input)".to_owned(),
            (name, []) => name.to_owned(),
            (name, takes) => format!("{name}({})", takes.join(", ")),
        };
        if let Some(extra) = of.get(kind.takes.len()) {
            let message = format!("`{}` takes no further name `{}`", kind.name, extra.value);
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_KEY, extra.span, message).help(format!("write {form}")),
            );
            return false;
        }
        if of.len() < kind.least {
            let message = format!("`{}` does not say its {}", kind.name, kind.takes[of.len()]);
            self.out.push(Diagnostic::new(&rules::MISSING, head.0, message).help(format!("write {form}")));
            return false;
        }
        true
    }

    fn bound(&mut self, bound: &BoundExpr) -> Option<Bound> {
        let (relation, limit) = match bound {
            BoundExpr::Within(low, high) => {
                let (lo, hi) = self.ends(low, high)?;
                return Some(Bound { lo, hi, closed: true });
            }
            BoundExpr::Beyond(relation, limit) => (*relation, limit),
        };
        let env = self.env();
        let limit = eval::eval(limit, &env, &mut self.out)?;
        let Some(x) = crate::args::number(&limit.value) else {
            self.out.push(mistyped("the bound", ArgKind::Number, &limit, &env.scope()));
            return None;
        };
        let closed = matches!(relation, Relation::AtMost | Relation::AtLeast);
        Some(match relation {
            Relation::Below | Relation::AtMost => Bound { lo: f64::NEG_INFINITY, hi: x, closed },
            Relation::Above | Relation::AtLeast => Bound { lo: x, hi: f64::INFINITY, closed },
        })
    }

    fn quantity(&mut self, kind: &str, of: &[Name]) -> Option<Quantity> {
        let Some(name) = of.first() else { return Some(Quantity::LossAtInit) };
        Some(match kind {
            "dead" => {
                Quantity::Dead(self.activation(name, kind, "is 0 on one side of a kink, as relu is")?)
            }
            "saturated" => Quantity::Saturated(self.activation(name, kind, "is flat on both sides")?),
            "grad_rms" => match self.place(name)? {
                Place::Tensor(tensor) => Quantity::GradRms(tensor),
                Place::Value(source) => {
                    self.no_tensor(name, source);
                    return None;
                }
            },
            _ => {
                let place = self.place(name)?;
                match kind {
                    "rms" => Quantity::Rms(place),
                    "mean" => Quantity::Mean(place),
                    _ => Quantity::MaxAbs(place),
                }
            }
        })
    }

    /// A node or input, or a trainable tensor.
    fn place(&mut self, name: &Name) -> Option<Place> {
        let tensor = self.graph.params.iter().find(|(_, tensor)| tensor.path == name.value);
        if let Some((tensor, _)) = tensor {
            return Some(Place::Tensor(tensor));
        }
        let tensors: Vec<String> = self.graph.params.iter().map(|(_, tensor)| tensor.path.clone()).collect();
        self.value(name, &tensors).map(Place::Value)
    }

    /// A node or an input; `more` are further names that may have been meant.
    fn value(&mut self, name: &Name, more: &[String]) -> Option<Source> {
        if let Some((source, _)) = self.names.get(&name.value) {
            return Some(*source);
        }
        if let Some(feed) = self.graph.feed(&name.value) {
            if self.graph.feeds[feed].target {
                let message = format!("`{}` is a target, which the net does not see", name.value);
                self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message));
                return None;
            }
            return Some(Source::Feed(feed));
        }
        if self.lost.explains(&name.value) {
            return None;
        }
        let inputs = self.graph.feeds.iter().filter(|(_, feed)| !feed.target).map(|(_, feed)| &*feed.name);
        let known =
            self.names.keys().map(String::as_str).chain(inputs).chain(more.iter().map(String::as_str));
        let near = did_you_mean(&name.value, known).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| "`wellposed show` prints the graph with all paths".to_owned());
        let what = if more.is_empty() { "node" } else { "node or tensor" };
        let message = format!("there is no {what} `{}`", name.value);
        self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message).help(help));
        None
    }

    /// A node, and not an input.
    fn node(&mut self, name: &Name, kind: &str) -> Option<Handle<Node>> {
        match self.value(name, &[])? {
            Source::Node(node) => Some(node),
            Source::Feed(feed) => {
                let message = format!("`{kind}` is about a node, and `{}` is an input", name.value);
                self.out.push(
                    Diagnostic::new(&rules::WRONG_TYPE, name.span, message)
                        .label(self.graph.feeds[feed].span, "declared here"),
                );
                None
            }
        }
    }

    /// An activation of the shape that a kind is about.
    fn activation(&mut self, name: &Name, kind: &str, wanted: &str) -> Option<Handle<Node>> {
        let handle = self.node(name, kind)?;
        let node = &self.graph.nodes[handle];
        let specs = self.graph.specs(node);
        let curve = node.op.curve(&specs);
        let fits = curve
            .is_some_and(|curve| if kind == "dead" { curve.is_off_below() } else { curve.flat().is_some() });
        if fits {
            return Some(handle);
        }
        let message = format!("`{}` is `{}`, which has no {kind} units", name.value, node.op.name());
        let mut consumers = self.graph.consumers(Source::Node(handle));
        let near = consumers.find(|(_, next)| next.op.category() == Category::Activation);
        let near = near.map(|(_, next)| next.path.to_string());
        let help = match near {
            Some(next) => format!("name an activation that {wanted}; `{next}` takes this value"),
            None => format!("name an activation that {wanted}"),
        };
        self.out.push(
            Diagnostic::new(&rules::WRONG_TYPE, name.span, message)
                .label(node.span, format!("`{}`", node.op.name()))
                .help(help),
        );
        None
    }

    fn no_tensor(&mut self, name: &Name, source: Source) {
        let below: Vec<&str> = match source {
            Source::Feed(_) => Vec::new(),
            Source::Node(node) => {
                let params = self.graph.nodes[node].params.iter();
                params.map(|param| self.graph.params[*param].path.as_str()).collect()
            }
        };
        let help = match below.as_slice() {
            [] => "name a trainable tensor, such as fc1.weight".to_owned(),
            own => format!("its trainable tensors are {}", own.join(", ")),
        };
        let message = format!("`grad_rms` is about a trainable tensor, and `{}` is none", name.value);
        self.out.push(Diagnostic::new(&rules::WRONG_TYPE, name.span, message).help(help));
    }

    fn invariant(&mut self, symmetry: &Name, input: Option<&Name>) -> Option<Law> {
        let Some(found) = Symmetry::find(&symmetry.value) else {
            let near = did_you_mean(&symmetry.value, SYMMETRIES);
            let known = format!("the symmetries are {}", SYMMETRIES.join(", "));
            let message = format!("there is no symmetry `{}`", symmetry.value);
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_KEY, symmetry.span, message)
                    .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
            );
            return None;
        };
        let inputs: Vec<(Handle<Feed>, String)> = self
            .graph
            .feeds
            .iter()
            .filter(|(_, feed)| !feed.target)
            .map(|(handle, feed)| (handle, feed.name.clone()))
            .collect();
        let input = match (input, inputs.as_slice()) {
            (Some(name), _) => match self.value(name, &[])? {
                Source::Feed(feed) => feed,
                Source::Node(_) => {
                    let message = format!("`{}` is a node; what is transformed is an input", name.value);
                    self.out.push(Diagnostic::new(&rules::WRONG_TYPE, name.span, message));
                    return None;
                }
            },
            (None, [(only, _)]) => *only,
            (None, []) => return None,
            (None, several) => {
                let message = format!("the net has {} inputs; which one is transformed?", several.len());
                let help = format!("write invariant {}({})", symmetry.value, several[0].1);
                self.out.push(Diagnostic::new(&rules::MISSING, symmetry.span, message).help(help));
                return None;
            }
        };
        Some(Law::Invariant { symmetry: found, input })
    }

    fn monotone(&mut self, output: &Name, input: &Name) -> Option<Law> {
        let (base, unit) = self.indexed(output);
        let node = self.node(&base, "monotone")?;
        let shape = self.graph.nodes[node].shape.clone();
        let (input, element) = self.element(input)?;
        let unit = self.within(output, unit, shape.as_ref()?, "unit")?;
        Some(Law::Monotone { output: node, unit, input, element })
    }

    /// A name and the index behind it, unless the whole is the path of a node.
    fn indexed(&self, name: &Name) -> (Name, Option<usize>) {
        let split = |text: &str| {
            let (base, index) = text.strip_suffix(']')?.rsplit_once('[')?;
            Some((base.to_owned(), index.parse().ok()?))
        };
        match split(&name.value).filter(|_| !self.names.contains_key(&name.value)) {
            Some((base, index)) => (Spanned::new(base, name.span), Some(index)),
            None => (name.clone(), None),
        }
    }

    /// The place of an index in a row, whose only element needs none.
    fn within(&mut self, name: &Name, index: Option<usize>, shape: &Shape, what: &str) -> Option<usize> {
        let count = shape.elements();
        let help = format!("write {}[0], counting from 0", name.value);
        let (rule, message): (&'static Rule, String) = match index {
            Some(index) if index < count => return Some(index),
            None if count == 1 => return Some(0),
            Some(_) => (&rules::OUT_OF_RANGE, format!("`{}` lies outside of {shape}", name.value)),
            None => (&rules::MISSING, format!("`{}` has {count} {what}s; which one?", name.value)),
        };
        let diagnostic = Diagnostic::new(rule, name.span, message);
        self.out.push(if index.is_none() { diagnostic.help(help) } else { diagnostic });
        None
    }

    /// An element of an input: a column of the data by its name, or `x[3]`.
    fn element(&mut self, name: &Name) -> Option<(Handle<Feed>, usize)> {
        let (base, index) = self.indexed(name);
        if let Some(feed) = self.graph.feed(&base.value).filter(|feed| !self.graph.feeds[*feed].target) {
            let shape = self.graph.feeds[feed].shape.clone()?;
            return Some((feed, self.within(name, index, &shape, "element")?));
        }
        let mut columns = Vec::new();
        for (handle, feed) in self.graph.feeds.iter().filter(|(_, feed)| !feed.target) {
            let group = self.graph.data.as_ref().and_then(|plan| plan.group(&feed.name));
            // Behind one_hot, columns are no longer elements.
            let Some(group) =
                group.filter(|group| feed.shape.as_ref().map(Shape::elements) == Some(group.columns.len()))
            else {
                continue;
            };
            columns.extend(group.columns.iter().enumerate().map(|(at, column)| (column.clone(), handle, at)));
        }
        if let Some((_, feed, at)) = columns.iter().find(|(column, ..)| *column == name.value) {
            return Some((*feed, *at));
        }
        if self.lost.explains(&name.value) {
            return None;
        }
        let inputs = self.graph.feeds.iter().filter(|(_, feed)| !feed.target).map(|(_, feed)| &*feed.name);
        let near = did_you_mean(&name.value, columns.iter().map(|(column, ..)| &**column).chain(inputs));
        let help = near
            .map_or("name a column of the data, or an element of an input as x[3]".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
        let message = format!("there is no input or column `{}`", name.value);
        self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message).help(help));
        None
    }
}

//! The compiled graph as text: what a snapshot holds and a reviewer reads.
//!
//! Contract: one node a line; names are paths; an input is printed only when it is not the line above; nothing is aligned;
//! no hashes, dates or versions, so that a diff shows what changed and nothing else. Equal iterations of a loop fold into one
//! body behind `name[0..11] x12`; a different one splits off. Inside a loop's body names are relative, and `in` is what flows
//! into the iteration. Arguments at their defaults are left out, real numbers have four significant digits from closed formulas.

use super::{
    Feed, FeedKind, Graph, Handle, Node, NodeRole, ParamTensor, Path, Penalty, Prediction, Source,
    StateTensor, Tie, Training,
};
use crate::data::{About, Content, Group, Plan, Rows, Rule, Split, SplitSet, Step, Vocabulary};
use crate::inits::Init;
use crate::ops::{Category, ModeEffect, Role, USUAL_SLOPE};
use crate::text::{count, number};
use std::fmt::Write;

/// The snapshot's text.
#[must_use]
pub fn print(graph: &Graph) -> String {
    // Facts, settings and the training set-up do not change the compiled graph; naming every field makes a new one a decision.
    let Graph {
        name,
        settings: _,
        feeds: _,
        nodes,
        params: _,
        states: _,
        output: _,
        loss,
        penalties,
        training: Training { predict, .. },
        data,
        facts: _,
        properties: _,
        partial: _,
        span: _,
    } = graph;
    let mut out = format!("graph {name}  format 1\n");
    if let Some(plan) = data {
        print_data(graph, plan, &mut out);
    }
    for (_, feed) in graph.feeds.iter().filter(|(_, feed)| graph.group(feed).is_none()) {
        print_feed(feed, &mut out);
    }
    let mut declared: Vec<&str> = Vec::new();
    for own in nodes.iter().filter_map(|(_, node)| node.op.own()) {
        if !declared.contains(&own.declaration.as_str()) {
            declared.push(&own.declaration);
            let _ = writeln!(out, "{}", own.declaration);
        }
    }
    let layers: Vec<Handle<Node>> = graph.layers().map(|(handle, _)| handle).collect();
    Scope { graph, depth: 0 }.print(&layers, None, &mut out);
    if let Some(loss) = loss {
        let node = &nodes[*loss];
        let inputs: Vec<String> = node.inputs.iter().map(|source| graph.name_of(*source)).collect();
        let arguments = node.op.attributes().into_iter().map(|(key, value)| format!("{key}={value}"));
        let all: Vec<String> = inputs.into_iter().chain(arguments).collect();
        let _ = write!(out, "loss {}({})", node.op.name(), all.join(", "));
    } else if !penalties.is_empty() {
        out.push_str("loss 0");
    }
    for Penalty { order, factor, all, on: _, span: _ } in penalties {
        let _ = write!(out, "  l{order} {} on {}", number(*factor), if *all { "all" } else { "weights" });
    }
    if loss.is_some() || !penalties.is_empty() {
        out.push('\n');
    }
    if let Some(Prediction { output, undone, span: _ }) = predict {
        let value = graph.name_of(*output);
        let _ = match undone {
            Some((target, _)) => writeln!(out, "predict unscale({value}, {})", graph.feeds[*target].name),
            None => writeln!(out, "predict {value}"),
        };
    }
    let (params, state) = (count(graph.param_count()), count(graph.state_count()));
    let _ = writeln!(out, "total params {params} state {state} nodes {}", layers.len());
    out
}

fn print_data(graph: &Graph, plan: &Plan, out: &mut String) {
    let Plan { rows, groups, oversample, about, span: _ } = plan;
    if let Rows::One(_, rule) = rows {
        let parts = |shares: &[(Split, u64)]| {
            shares.iter().map(|(split, share)| format!(" {split} {share}")).collect::<String>()
        };
        let _ = match rule {
            Rule::Hash { key, shares } => writeln!(out, "split hash({}){}", key.value, parts(shares)),
            Rule::Column(column) => writeln!(out, "split column({})", column.value),
            Rule::Time { column, shares } => writeln!(out, "split time({}){}", column.value, parts(shares)),
        };
    }
    let About { group, time, rule: _ } = about;
    let of_rule = |column: &str| matches!(rows, Rows::One(_, rule) if rule.column().value == column);
    for (what, column) in [("group", group), ("time", time)] {
        if let Some(column) = column.as_ref().filter(|column| what == "group" || !of_rule(&column.value)) {
            let _ = writeln!(out, "rows {what}={}", column.value);
        }
    }
    if let Some(copied) = oversample {
        let only = if copied.always.value { "always" } else { "train" };
        let _ = writeln!(out, "rows oversample({}, only={only})", copied.by.value);
    }
    let splits = plan.splits();
    for group in groups {
        let Group { name, content, columns, lag, rows: _, source: _, reshape, chain, overrides } = group;
        let width = columns.len();
        let what = match content {
            Content::Numeric => format!("numeric[{}]", group.sources().len()),
            Content::Target => format!("target[{width}]"),
            Content::Class(classes, None) => format!("class[{classes}]"),
            Content::Class(classes, Some(labels)) => format!("class[{classes}] {}", quoted(labels)),
            Content::Category(Vocabulary::Given(words)) => {
                format!("category[{}] {}", words.len(), quoted(words))
            }
            Content::Category(Vocabulary::Fitted(Some(n))) => format!("category[{n}]"),
            Content::Category(Vocabulary::Fitted(None)) => "category[?]".to_owned(),
        };
        let shape = reshape
            .as_ref()
            .map_or(String::new(), |shape| format!(" as {:?}", shape.sample()).replace(", ", ","));
        let feed = graph.feeds.iter().find(|(_, feed)| feed.name == name.value);
        let applied = match (content, chain.is_empty()) {
            (Content::Class(..), _) | (_, true) => String::new(),
            _ => {
                let common: Vec<_> =
                    splits.iter().copied().filter(|split| !overrides.contains_key(split)).collect();
                format!("  apply {}", SplitSet(&common))
            }
        };
        let lagged = lag.as_ref().map_or(String::new(), |lag| format!(" |> {}", lag.step()));
        // A group that no node takes is still part of the interface, so it is printed whether or not it is a feed.
        let unused = if feed.is_some() { "" } else { "  unused" };
        let steps = chained(chain);
        let _ = writeln!(out, "data {}: {what}{shape}{lagged}{steps}{applied}{unused}", name.value);
        for (split, (_, chain)) in overrides {
            let _ = writeln!(out, "data {} on {split}: raw{lagged}{}", name.value, chained(chain));
        }
    }
}

fn print_feed(feed: &Feed, out: &mut String) {
    let Feed { name, raw, shape: _, kind, range, target, chain, span: _ } = feed;
    let shape = raw.as_ref().map_or("[?]".to_owned(), ToString::to_string);
    let what = match kind {
        FeedKind::Real => format!("f64{shape}"),
        FeedKind::Unit => format!("unit{shape}"),
        FeedKind::Byte => format!("u8{shape}"),
        FeedKind::Int => format!("int{shape}"),
        FeedKind::Class(Some(n), labels) => {
            let labels = labels.as_ref().map_or(String::new(), |labels| format!(" {}", quoted(labels)));
            let axes = if shape == "[B]" { String::new() } else { format!(" {shape}") };
            format!("class[{n}]{axes}{labels}")
        }
        FeedKind::Class(None, _) => format!("int{shape}"),
        FeedKind::OneHot => format!("one_hot{shape}"),
    };
    let range = range.map_or(String::new(), |(lo, hi)| format!(" in {}..{}", number(lo), number(hi)));
    let word = if *target { "target" } else { "input" };
    let _ = writeln!(out, "{word} {name}: {what}{range}{}", chained(chain));
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

fn chained(chain: &[Step]) -> String {
    chain.iter().map(|Step { transform, span: _, fit: _, shared: _ }| format!(" |> {transform}")).collect()
}

/// Nodes that share the first `depth` parts of their paths.
struct Scope<'g> {
    graph: &'g Graph,
    depth: usize,
}

impl Scope<'_> {
    /// Prints nodes in order. `entry` is what flows in: the value above the first line.
    fn print(&self, nodes: &[Handle<Node>], entry: Option<Source>, out: &mut String) {
        let mut above = entry;
        let mut rest = nodes;
        while let Some((&first, _)) = rest.split_first() {
            let Some((loop_at, name)) = self.loop_of(first) else {
                self.line(first, above, entry, out);
                above = Some(Source::Node(first));
                rest = &rest[1..];
                continue;
            };
            let length = rest.iter().take_while(|&&n| self.loop_of(n) == Some((loop_at, name))).count();
            let (members, behind) = rest.split_at(length);
            self.folded(members, loop_at, above, out);
            above = members.last().map(|&last| Source::Node(last));
            rest = behind;
        }
    }

    /// The place and name of the first loop in a node's path below this scope.
    fn loop_of(&self, node: Handle<Node>) -> Option<(usize, &str)> {
        let path = &self.graph.nodes[node].path.0;
        let at = (self.depth..path.len()).find(|&i| path[i].index.is_some())?;
        Some((at, &path[at].name))
    }

    /// Prints the iterations of one loop, equal neighbours once.
    fn folded(&self, members: &[Handle<Node>], at: usize, above: Option<Source>, out: &mut String) {
        let index = |node: Handle<Node>| self.graph.nodes[node].path.0[at].index.unwrap_or(0);
        let inner = Scope { graph: self.graph, depth: at + 1 };
        let mut runs: Vec<(usize, usize, String, u64, Option<Source>)> = Vec::new();
        let mut flow = above;
        for iteration in members.chunk_by(|a, b| index(*a) == index(*b)) {
            let (i, mut body) = (index(iteration[0]), String::new());
            let entry = self.entry(iteration, flow);
            inner.print(iteration, entry, &mut body);
            let params = iteration.iter().map(|&n| self.graph.params_of(&self.graph.nodes[n])).sum();
            match runs.last_mut() {
                Some((_, last, text, ..)) if *text == body && entry == flow => *last = i,
                _ => runs.push((i, i, body, params, entry.filter(|_| entry != flow))),
            }
            flow = iteration.last().map(|&last| Source::Node(last));
        }
        let name: Vec<String> = self.graph.nodes[members[0]].path.0[self.depth..=at]
            .iter()
            .map(|part| match part.index {
                Some(_) => part.name.clone(),
                None => format!("{}.", part.name),
            })
            .collect();
        let name = name.concat();
        for (first, last, body, params, from) in runs {
            let range = if first == last {
                format!("[{first}]")
            } else {
                format!("[{first}..{last}] x{}", last - first + 1)
            };
            let each = if first == last { "" } else { " each" };
            let params = if params > 0 { format!(" params {}{each}", count(params)) } else { String::new() };
            let from = from.map_or(String::new(), |source| format!("  <- {}", self.graph.name_of(source)));
            let _ = writeln!(out, "{name}{range}{params}{from}");
            for line in body.lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
    }

    /// What flows into an iteration: the input from outside of its first node.
    fn entry(&self, iteration: &[Handle<Node>], flow: Option<Source>) -> Option<Source> {
        let inside = |source: &Source| matches!(source, Source::Node(node) if iteration.contains(node));
        let outside =
            || iteration.iter().flat_map(|&n| &self.graph.nodes[n].inputs).filter(|source| !inside(source));
        match flow {
            Some(flow) if outside().any(|source| *source == flow) => Some(flow),
            _ => outside().next().copied(),
        }
    }

    /// The name of a value as seen from this scope.
    fn name_of(&self, source: Source, node: &Node, entry: Option<Source>) -> String {
        if self.depth > 0 && Some(source) == entry {
            return "in".to_owned();
        }
        match source {
            Source::Node(other) => self.relative(&self.graph.nodes[other].path, node),
            Source::Feed(_) => self.graph.name_of(source),
        }
    }

    /// A path as seen from a node of this scope.
    fn relative(&self, other: &Path, node: &Node) -> String {
        let inside = self.depth > 0 && other.0.len() > self.depth;
        if inside && other.0[..self.depth] == node.path.0[..self.depth] {
            Path(other.0[self.depth..].to_vec()).to_string()
        } else {
            other.to_string()
        }
    }

    fn line(&self, handle: Handle<Node>, above: Option<Source>, entry: Option<Source>, out: &mut String) {
        let Node {
            path,
            op,
            inputs,
            shape,
            params,
            tie,
            states,
            saved: _,
            scratch: _,
            flops: _,
            span: _,
            arguments: _,
            trail: _,
            role,
        } = &self.graph.nodes[handle];
        let node = &self.graph.nodes[handle];
        let mut arguments: Vec<String> =
            op.attributes().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut inits = String::new();
        for (slot, param) in params.iter().enumerate() {
            let ParamTensor { path: _, spec } = &self.graph.params[*param];
            if let Some(tie) = tie.as_ref().filter(|tie| tie.slot == slot) {
                let Tie { slot: _, owner, spec } = tie;
                let _ = write!(inits, "  tied {}.{}", self.relative(owner, node), spec.name);
                continue;
            }
            match (spec.role, &spec.init) {
                (Role::Kernel, Some(init)) => {
                    let _ = write!(inits, "  init {}", with_std(&init.value, spec));
                }
                (Role::Kernel, None) => inits.push_str("  init ?"),
                (Role::Bias, Some(init)) if init.value != Init::zeros() => {
                    let _ = write!(inits, "  bias_init {}", with_std(&init.value, spec));
                }
                (Role::Scale, Some(init)) if op.category() != Category::Norm => {
                    arguments.push(format!("init={}", init.value));
                }
                (Role::Scale, Some(init)) if init.value != Init::ones() => {
                    arguments.push(format!("gamma={}", init.value));
                }
                (Role::Shift, Some(init)) if init.value != Init::zeros() => {
                    arguments.push(format!("beta={}", init.value));
                }
                (Role::Slope, Some(init)) if init.value.constant() != Some(USUAL_SLOPE) => {
                    arguments.push(format!("init={}", init.value));
                }
                (Role::Given | Role::Table, Some(init)) => {
                    let _ = write!(inits, "  init {}", with_std(&init.value, spec));
                }
                _ => {}
            }
        }
        let name = Path(path.0[self.depth..].to_vec());
        let _ = write!(out, "{name}: {}", op.name());
        if !arguments.is_empty() {
            let _ = write!(out, "({})", arguments.join(", "));
        }
        let _ = write!(out, " {}", shape.as_ref().map_or("[?]".to_owned(), ToString::to_string));
        let held = self.graph.params_of(node);
        if held > 0 {
            let _ = write!(out, " params {}", count(held));
        }
        let state: usize = states
            .iter()
            .map(|state| {
                let StateTensor { path: _, spec } = &self.graph.states[*state];
                spec.dims.iter().product::<usize>()
            })
            .sum();
        if state > 0 {
            let _ = write!(out, " state {}", count(state as u64));
        }
        match op.effect() {
            ModeEffect::Same => {}
            ModeEffect::TrainOnly => out.push_str(" [train]"),
            ModeEffect::Differs => out.push_str(" [train!=eval]"),
        }
        out.push_str(&inits);
        let follows = matches!(inputs.as_slice(), [only] if Some(*only) == above);
        if !follows || *role == NodeRole::ResidualSum {
            let names: Vec<String> = inputs.iter().map(|source| self.name_of(*source, node, entry)).collect();
            let _ = write!(out, "  <- {}", names.join(", "));
        }
        out.push('\n');
    }
}

/// An initialiser with the standard deviation that follows from the fans, where its arguments do not state it.
fn with_std(init: &Init, spec: &crate::ops::ParamSpec) -> String {
    if init.is_constant() || matches!(init, Init::Normal(_)) {
        return init.to_string();
    }
    format!("{init} std={}", number(init.variance(spec.target()).sqrt()))
}

//! The `## Shapes` table of an operator's manual page, and the one-op graph that each row stands for.
//!
//! A row is `| call | inputs | output |`: the call as a spec writes it, the shapes of the inputs (`[B,4]`, `unit[B,4]` for numbers
//! in 0..1, `int[B,4]` for tokens, or `class[B]` for labels), and the shape of the result or `error`.

use crate::support::lower_text;
use wellposed::graph::{Graph, Handle, Node, Verified, verify};
use wellposed::manual::Callable;
use wellposed::tensor::Shape;

/// One input of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Numbers.
    Values(Vec<usize>),
    /// Numbers in 0..1.
    Unit(Vec<usize>),
    /// Tokens.
    Tokens(Vec<usize>),
    /// Class labels.
    Labels(Vec<usize>),
}

impl Input {
    pub fn sample(&self) -> &[usize] {
        match self {
            Self::Values(sample) | Self::Unit(sample) | Self::Tokens(sample) | Self::Labels(sample) => sample,
        }
    }
}

/// One row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    pub op: &'static Callable,
    pub call: String,
    pub inputs: Vec<Input>,
    /// The stated shape; `None` for `error`.
    pub output: Option<String>,
}

/// The rows of an operator's table.
pub fn rows(op: &'static Callable) -> Vec<Row> {
    let page = op.markdown();
    let table = page.lines().skip_while(|line| line.trim() != "## Shapes").skip(1);
    let lines = table.skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| row(op, line)).collect()
}

fn row(op: &'static Callable, line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [call, inputs, output] = cells[..] else { panic!("{}: {line} has not three cells", op.name) };
    let inputs = quoted(inputs).into_iter().map(|text| match text.split_once('[') {
        Some(("class", _)) => Input::Labels(sample(&text["class".len()..])),
        Some(("int", _)) => Input::Tokens(sample(&text["int".len()..])),
        Some(("unit", _)) => Input::Unit(sample(&text["unit".len()..])),
        _ => Input::Values(sample(text)),
    });
    Row {
        op,
        call: quoted(call).concat(),
        inputs: inputs.collect(),
        output: (output != "error").then(|| quoted(output).concat()),
    }
}

/// The texts between back ticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// `[B,3,4]` as the axes of a sample.
fn sample(text: &str) -> Vec<usize> {
    let inside = text.strip_prefix("[B").and_then(|rest| rest.strip_suffix(']'));
    let inside = inside.unwrap_or_else(|| panic!("`{text}` is no shape"));
    inside.split(',').skip(1).map(|size| size.trim().parse().expect("a size is a number")).collect()
}

/// A row as a graph whose only node of interest is the operator.
pub struct Case {
    pub graph: Verified<Graph>,
    pub node: Handle<Node>,
    /// How many classes the labels have, where there are labels.
    pub classes: usize,
}

impl Row {
    pub fn name(&self) -> String {
        format!("{} of {:?}", self.call, self.inputs)
    }

    pub fn is_loss(&self) -> bool {
        self.op.group == "loss"
    }

    /// The axis that the logits have and the labels lack says how many classes there are; without such an axis there are two.
    fn classes(&self) -> usize {
        let [z, Input::Labels(y)] = &self.inputs[..] else { return 2 };
        let z = z.sample();
        match z.split_last() {
            Some((&last, before)) if before == y => last.max(2),
            _ if z.get(1..) == Some(y) => z[0].max(2),
            _ => 2,
        }
    }

    /// The text of a spec that holds the call. A net must have a statement, so in front of a loss stands one that nothing reads.
    pub fn spec(&self) -> String {
        let mut text = format!("spec 1\nmodel {}_row\n", self.op.name);
        let mut names = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let target = self.is_loss() && i == 1;
            let (word, name) = if target { ("target", "y".to_owned()) } else { ("input", format!("x{i}")) };
            let shape = Shape::new(input.sample());
            let kind = match input {
                Input::Values(_) => format!("f64{shape}"),
                Input::Unit(_) => format!("unit{shape}"),
                Input::Tokens(_) => format!("int{shape}"),
                Input::Labels(_) => format!("class({}){shape}", self.classes()),
            };
            text += &[word, " ", &name, ": ", &kind, "\n"].concat();
            names.push(name);
        }
        if self.is_loss() {
            let call = match self.call.split_once('(') {
                Some((name, arguments)) => format!("{name}({}, {arguments}", names.join(", ")),
                None => format!("{}({})", self.call, names.join(", ")),
            };
            text + &format!("net {{\n  twice: add <- x0, x0\n}}\ntrain {{\n  loss {call}\n}}\n")
        } else {
            text + &format!("net {{\n  it: {} <- {}\n}}\n", self.call, names.join(", "))
        }
    }

    /// Lowers the row; the reason if it has errors or is no graph that runs.
    pub fn case(&self) -> Result<Case, String> {
        let (graph, found, _) = lower_text(&self.spec());
        if let Some(first) = found.iter().next() {
            return Err(format!("{}: {}", first.rule.code, first.message));
        }
        let graph = verify(graph).map_err(|violations| format!("{violations:?}"))?;
        let node = match graph.loss {
            Some(loss) => Some(loss),
            None => graph.nodes.handles().next(),
        };
        let node = node.ok_or("the graph has no node")?;
        Ok(Case { graph, node, classes: self.classes() })
    }
}

//! Expressions: pairs to tree nodes, operators by precedence.
//!
//! Contract: an expression with more operators than recursion should follow is refused as a whole, before anything recurses.

use super::super::ast::{Binary, Expr, Unary};
use super::{Assoc, Op, Pair, Pairs, PrattParser, Rule, Tree, first};
use crate::diag::{Diagnostic, rules};
use crate::source::{Span, Spanned};
use std::sync::OnceLock;

/// An expression may have this many operators.
const MAX_OPERATORS: usize = 1_000;

fn pratt() -> &'static PrattParser<Rule> {
    static PARSER: OnceLock<PrattParser<Rule>> = OnceLock::new();
    PARSER.get_or_init(|| {
        let left = |rule| Op::infix(rule, Assoc::Left);
        PrattParser::new()
            .op(left(Rule::kw_or))
            .op(left(Rule::kw_and))
            .op(Op::prefix(Rule::kw_not))
            .op(left(Rule::eq)
                | left(Rule::ne)
                | left(Rule::lt)
                | left(Rule::le)
                | left(Rule::gt)
                | left(Rule::ge))
            .op(left(Rule::add) | left(Rule::sub))
            .op(left(Rule::mul) | left(Rule::div) | left(Rule::floor_div) | left(Rule::rem))
            .op(Op::prefix(Rule::neg))
            .op(Op::infix(Rule::pow, Assoc::Right))
            .op(Op::postfix(Rule::field) | Op::postfix(Rule::index))
    })
}

impl Tree<'_> {
    /// An expression, unless it has more operators than recursion should follow.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let operators = pair.clone().into_inner().flatten().filter(|p| is_operator(p.as_rule())).count();
        if operators > MAX_OPERATORS {
            let message = format!("an expression with {operators} operators; the limit is {MAX_OPERATORS}");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, Span { end: span.start + 1, ..span }, message));
            return Spanned::new(Expr::Error, span);
        }
        self.bounded_expr(pair)
    }

    fn bounded_expr(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let mut tiers = Vec::new();
        let mut otherwise = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::tier => tiers.push(self.tier(part.into_inner())),
                Rule::expr => otherwise = Some(self.bounded_expr(part)),
                _ => {}
            }
        }
        let mut tiers = tiers.into_iter();
        match (tiers.next(), tiers.next(), otherwise) {
            (Some(then), Some(condition), Some(otherwise)) => {
                Spanned::new(Expr::Cond(Box::new(condition), Box::new(then), Box::new(otherwise)), span)
            }
            (Some(only), ..) => only,
            _ => Spanned::new(Expr::Error, span),
        }
    }

    fn tier(&mut self, pairs: Pairs<'_, Rule>) -> Spanned<Expr> {
        let tree = std::cell::RefCell::new(self);
        pratt()
            .map_primary(|pair| tree.borrow_mut().atom(pair))
            .map_prefix(|op, operand| {
                let span = tree.borrow().span(&op).to(operand.span);
                let kind = if op.as_rule() == Rule::neg { Unary::Neg } else { Unary::Not };
                Spanned::new(Expr::Unary(kind, Box::new(operand)), span)
            })
            .map_postfix(|operand, op| {
                let mut tree = tree.borrow_mut();
                let span = operand.span.to(tree.span(&op));
                let value =
                    if let Some(name) = first(&op, Rule::ident).or_else(|| first(&op, Rule::kw_shortcut)) {
                        Expr::Field(Box::new(operand), tree.word(&name))
                    } else if let Some(index) = first(&op, Rule::expr) {
                        Expr::Index(Box::new(operand), Box::new(tree.bounded_expr(index)))
                    } else {
                        Expr::Error
                    };
                Spanned::new(value, span)
            })
            .map_infix(|left, op, right| {
                let span = left.span.to(right.span);
                let kind = Spanned::new(binary(op.as_rule()), tree.borrow().span(&op));
                Spanned::new(Expr::Binary(kind, Box::new(left), Box::new(right)), span)
            })
            .parse(pairs)
    }

    fn atom(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let text = pair.as_str();
        let value = match pair.as_rule() {
            Rule::number => self.number(text, span),
            Rule::string => Expr::Str(unescape(text)),
            Rule::kw_true => Expr::Bool(true),
            Rule::kw_false => Expr::Bool(false),
            Rule::kw_in => Expr::Input,
            Rule::ident => Expr::Name(text.to_owned()),
            Rule::call => Expr::Call(self.call(pair)),
            Rule::list => return self.list(pair),
            Rule::paren => {
                return first(&pair, Rule::expr)
                    .map_or(Spanned::new(Expr::Error, span), |e| self.bounded_expr(e));
            }
            _ => Expr::Error,
        };
        Spanned::new(value, span)
    }

    fn number(&mut self, text: &str, span: Span) -> Expr {
        number(text).unwrap_or_else(|| {
            let message = format!("the number {text} does not fit into 64 bits");
            self.out.push(Diagnostic::new(&rules::OUT_OF_RANGE, span, message));
            Expr::Error
        })
    }
}

/// Reads an integer or real literal with `_` separators; `None` if an integer does not fit.
pub fn number(text: &str) -> Option<Expr> {
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    if digits.contains(['.', 'e', 'E']) {
        return digits.parse().ok().filter(|x: &f64| x.is_finite()).map(Expr::Float);
    }
    digits.parse().ok().map(Expr::Int)
}

pub(super) fn unescape(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

pub(super) fn is_operator(rule: Rule) -> bool {
    matches!(rule, Rule::neg | Rule::kw_not | Rule::field | Rule::index | Rule::kw_if)
        || infix(rule).is_some()
}

fn infix(rule: Rule) -> Option<Binary> {
    Some(match rule {
        Rule::kw_or => Binary::Or,
        Rule::kw_and => Binary::And,
        Rule::eq => Binary::Eq,
        Rule::ne => Binary::Ne,
        Rule::lt => Binary::Lt,
        Rule::le => Binary::Le,
        Rule::gt => Binary::Gt,
        Rule::ge => Binary::Ge,
        Rule::add => Binary::Add,
        Rule::sub => Binary::Sub,
        Rule::mul => Binary::Mul,
        Rule::div => Binary::Div,
        Rule::floor_div => Binary::FloorDiv,
        Rule::rem => Binary::Rem,
        Rule::pow => Binary::Pow,
        _ => return None,
    })
}

fn binary(rule: Rule) -> Binary {
    infix(rule).unwrap_or_else(|| unreachable!("internal: {rule:?} is not an operator"))
}

//! What is wrong with a faulty statement, in words.
//!
//! A statement that the grammar had to swallow is parsed again with the rule that it should have followed; the furthest position
//! that parse reached is where the mistake is.

use super::expr::is_operator;
use super::{ErrorVariant, Grammar, InputLocation, Pair, ParseError, Parser, Rule, Tree, first};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::source::Span;
use std::ops::Range;

/// More faulty statements than this are counted and not explained.
const MAX_EXPLAINED: usize = 100;
/// The words that begin a section.
const SECTIONS: [&str; 13] = [
    "spec",
    "model",
    "activation",
    "loss",
    "input",
    "target",
    "data",
    "default",
    "block",
    "net",
    "train",
    "expect",
    "property",
];

impl Tree<'_> {
    /// Explains a faulty statement by parsing it alone. If the mistake lies before the body that the statement opens, the
    /// body is read for its own mistakes.
    pub(super) fn bad(&mut self, pair: &Pair<'_, Rule>, rule: Rule) {
        let text = pair.as_str().trim_end();
        let span = self.span(pair);
        self.lost.learn(text);
        if !self.may_explain(span) {
            return;
        }
        let outer = std::mem::replace(&mut self.base, span.start as usize);
        match Grammar::parse(rule, text) {
            Err(error) => {
                let at = place(&error).start;
                match unclosed(text).filter(|_| text[at..].trim().is_empty()) {
                    Some(open) => self.never_closed(open),
                    None => self.report(&error, text),
                }
                if let Some(brace) = text.find('{').filter(|&brace| brace > at) {
                    self.base += brace;
                    if let Some(root) =
                        Grammar::parse(Rule::body_only, &text[brace..]).ok().and_then(|mut p| p.next())
                    {
                        first(&root, Rule::body).map(|body| self.body(body));
                    }
                }
            }
            // The statement is fine by itself: what is wrong is what stands behind it on its line.
            Ok(_) => self.out.push(Diagnostic::new(&rules::SYNTAX, span, "one statement a line")),
        }
        self.base = outer;
    }

    fn never_closed(&mut self, open: usize) {
        let at = self.base + open;
        self.out.push(
            Diagnostic::new(&rules::SYNTAX, Span::new(self.file, at..at + 1), "this `{` is never closed")
                .help("write `}` behind the last line that belongs to it"),
        );
    }

    /// Counts the mistakes that are explained; a hostile file has a hundred thousand.
    fn may_explain(&mut self, place: Span) -> bool {
        self.explained += 1;
        if self.explained == MAX_EXPLAINED + 1 {
            let message =
                format!("more than {MAX_EXPLAINED} statements cannot be read; the rest is not explained");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, place.head(), message));
        }
        self.explained <= MAX_EXPLAINED
    }

    pub(super) fn bad_section(&mut self, pair: &Pair<'_, Rule>) {
        let text = pair.as_str();
        let span = self.span(pair);
        self.lost.learn(text);
        let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rule = match word.as_str() {
            "spec" => Rule::version_only,
            "model" => Rule::model_only,
            "activation" => Rule::activation_only,
            "loss" => Rule::own_loss_only,
            "input" => Rule::input_only,
            "target" => Rule::target_only,
            "data" => Rule::data_sec_only,
            "default" => Rule::default_only,
            "block" => Rule::block_only,
            "net" => Rule::net_only,
            "train" => Rule::train_only,
            "expect" => Rule::expect_only,
            "property" => Rule::property_only,
            _ => {
                if self.may_explain(span) {
                    let width = word.len().max(text.chars().next().map_or(0, char::len_utf8));
                    let place = Span::new(self.file, span.range().start..span.range().start + width);
                    let finding = if word.is_empty() {
                        let what = if text.starts_with('}') {
                            "this `}` closes nothing"
                        } else {
                            "a section begins with a word"
                        };
                        Diagnostic::new(&rules::SYNTAX, place, what)
                    } else {
                        let near = did_you_mean(&word, SECTIONS);
                        let known = format!("a section is one of {}", SECTIONS.join(", "));
                        Diagnostic::new(&rules::UNKNOWN_KEY, place, format!("unknown section `{word}`"))
                            .help(near.map_or(known, |near| format!("did you mean `{near}`?")))
                    };
                    self.out.push(finding);
                }
                return;
            }
        };
        self.bad(pair, rule);
    }

    /// Reports where a text that was parsed on its own went wrong.
    pub(super) fn report(&mut self, error: &ParseError<Rule>, text: &str) {
        let at = place(error);
        let span = Span::new(self.file, self.base + at.start..self.base + at.end);
        let diagnostic = match &error.variant {
            ErrorVariant::ParsingError { .. } if text[at.start..].starts_with('"') => {
                let message = "the text that begins here has no closing quotation mark";
                Diagnostic::new(&rules::SYNTAX, span, message)
            }
            ErrorVariant::ParsingError { positives, .. } => {
                let help = if positives.contains(&Rule::colon) && positives.len() > 1 && at.start > 0 {
                    let name = text.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
                    Some(format!("if `{name}` names the statement, write `{name}:`"))
                } else if positives.contains(&Rule::wiring) && !text[at.start..].trim().is_empty() {
                    Some("one statement a line".to_owned())
                } else if text[at.start..].starts_with('^') {
                    Some("a power is written `**`".to_owned())
                } else {
                    None
                };
                Diagnostic::new(&rules::SYNTAX, span, format!("expected {}", expected(positives)))
                    .maybe_help(help)
            }
            ErrorVariant::CustomError { message } if message.contains("limit") => {
                Diagnostic::new(&rules::TOO_LARGE, span, "the text nests too deeply to be read")
            }
            ErrorVariant::CustomError { message } => Diagnostic::new(&rules::SYNTAX, span, message.clone()),
        };
        self.out.push(diagnostic);
    }
}

fn place(error: &ParseError<Rule>) -> Range<usize> {
    match error.location {
        InputLocation::Pos(at) => at..at,
        InputLocation::Span((start, end)) => start..end,
    }
}

/// The innermost brace that a text opens and does not close, outside of strings and comments.
fn unclosed(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => (quoted, escaped, comment) = (false, false, false),
            _ if comment => {}
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '#' => comment = true,
            '{' => open.push(at),
            '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// What may stand at a place, in words. What may always follow an expression (an operator, `.`, `[`) is left out unless
/// nothing else may stand there.
fn expected(positives: &[Rule]) -> String {
    let behind_a_value = positives.contains(&Rule::dot);
    let mut words: Vec<&str> = Vec::new();
    for &rule in positives {
        let noise = is_operator(rule) || (behind_a_value && matches!(rule, Rule::dot | Rule::lbrack));
        let text = word(rule);
        if !noise && !text.is_empty() && !words.contains(&text) {
            words.push(text);
        }
    }
    // What a value begins with is a value.
    if words.contains(&"a number") && words.contains(&"a text in quotation marks") {
        words.retain(|word| {
            !["a name", "a number", "a text in quotation marks", "`(`", "`[`", "`in`"].contains(word)
        });
        words.insert(0, "a value");
    }
    // A name may always be followed by arguments; that says nothing where something else is missing.
    if words.len() > 1 && !words.contains(&"a value") {
        words.retain(|word| *word != "`(`");
    }
    match words.as_slice() {
        [] if behind_a_value => "an operator or the end of the line".to_owned(),
        [] => "the end of the line".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A rule in words; empty for rules that say nothing to a reader.
fn word(rule: Rule) -> &'static str {
    match rule {
        Rule::ident | Rule::type_ | Rule::label => "a name",
        Rule::number => "a number",
        Rule::string => "a text in quotation marks",
        Rule::lparen | Rule::arguments | Rule::params | Rule::paren => "`(`",
        Rule::rparen => "`)`",
        Rule::lbrack | Rule::list => "`[`",
        Rule::rbrack => "`]`",
        Rule::lbrace | Rule::body => "`{`",
        Rule::rbrace => "`}`",
        Rule::comma => "`,`",
        Rule::colon => "`:`",
        Rule::assign => "`=`",
        Rule::arrow | Rule::wiring => "`<-`",
        Rule::pipe | Rule::chain => "`|>`",
        Rule::dots => "`..`",
        Rule::dot => "`.`",
        Rule::expr | Rule::tier | Rule::arg | Rule::call => "a value",
        Rule::invoke | Rule::statement | Rule::reference => "the name of an op, a block or a node",
        Rule::repeat | Rule::kw_repeat => "`repeat`",
        Rule::for_loop | Rule::kw_for => "`for`",
        Rule::residual | Rule::kw_residual => "`residual`",
        Rule::shortcut | Rule::kw_shortcut => "`shortcut`",
        Rule::kw_as => "`as`",
        Rule::kw_else => "`else`",
        Rule::kw_in => "`in`",
        Rule::kw_when => "`when`",
        Rule::kw_by => "`by`",
        Rule::kw_on => "`on`",
        Rule::share | Rule::setting | Rule::clause => "a name with a value",
        Rule::promise => "a property",
        Rule::subject | Rule::subjects => "the name of a node",
        Rule::limit | Rule::range => "a bound",
        Rule::column | Rule::split_rule | Rule::override_ => "a split or a column",
        Rule::param => "a parameter",
        Rule::own_slope => "`grad`",
        Rule::EOI | Rule::stop => "the end of the statement",
        _ => "",
    }
}

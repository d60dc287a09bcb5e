//! What is wrong with a faulty statement, in words.
//!
//! A statement that the grammar had to swallow is parsed again with the rule that it should have followed; the furthest position
//! that parse reached is where the mistake is.

use super::expr::is_operator;
use super::{ErrorVariant, Grammar, InputLocation, Pair, ParseError, Parser, Rule, Tree, first};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::source::Span;

/// More faulty statements than this are counted and not explained.
const MAX_EXPLAINED: usize = 100;
/// The words that begin a section.
const SECTIONS: [&str; 10] =
    ["spec", "model", "input", "target", "data", "default", "block", "net", "train", "expect"];

impl Tree<'_> {
    /// Explains a faulty statement by parsing it alone. If the mistake lies before the body that the statement opens, the
    /// body is read for its own mistakes.
    pub(super) fn bad(&mut self, pair: &Pair<'_, Rule>, rule: Rule) {
        if !self.may_explain(self.span(pair)) {
            return;
        }
        let text = pair.as_str().trim_end();
        let span = self.span(pair);
        let outer = std::mem::replace(&mut self.base, span.start as usize);
        match Grammar::parse(rule, text) {
            Err(error) => {
                self.report(&error);
                let at = match error.location {
                    InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
                };
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
        let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rule = match word.as_str() {
            "spec" => Rule::version_only,
            "model" => Rule::model_only,
            "input" => Rule::input_only,
            "target" => Rule::target_only,
            "data" => Rule::data_sec_only,
            "default" => Rule::default_only,
            "block" => Rule::block_only,
            "net" => Rule::net_only,
            "train" => Rule::train_only,
            "expect" => Rule::expect_only,
            _ => {
                if self.may_explain(span) {
                    let width = word.len().max(text.chars().next().map_or(0, char::len_utf8));
                    let place = Span::new(self.file, span.range().start..span.range().start + width);
                    let near = did_you_mean(&word, SECTIONS);
                    let known = format!("a section is one of {}", SECTIONS.join(", "));
                    let what = if word.is_empty() {
                        "a section begins with a word".to_owned()
                    } else {
                        format!("unknown section `{word}`")
                    };
                    self.out.push(
                        Diagnostic::new(&rules::UNKNOWN_KEY, place, what)
                            .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
                    );
                }
                return;
            }
        };
        self.bad(pair, rule);
    }

    pub(super) fn report(&mut self, error: &ParseError<Rule>) {
        let (start, end) = match error.location {
            InputLocation::Pos(at) => (at, at),
            InputLocation::Span(range) => range,
        };
        let span = Span::new(self.file, self.base + start..self.base + end);
        let diagnostic = match &error.variant {
            ErrorVariant::ParsingError { positives, .. } => {
                Diagnostic::new(&rules::SYNTAX, span, format!("expected {}", expected(positives)))
            }
            ErrorVariant::CustomError { message } if message.contains("limit") => {
                Diagnostic::new(&rules::TOO_LARGE, span, "the text nests too deeply to be read")
            }
            ErrorVariant::CustomError { message } => Diagnostic::new(&rules::SYNTAX, span, message.clone()),
        };
        self.out.push(diagnostic);
    }
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
        Rule::column | Rule::split_rule | Rule::override_ => "a split or a column",
        Rule::param => "a parameter",
        Rule::EOI | Rule::stop => "the end of the statement",
        _ => "",
    }
}

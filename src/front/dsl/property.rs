//! The lines of a `property` section.

use super::super::ast::{Bound, Head, Property, Relation};
use super::expr::unescape;
use super::{Pair, Rule, Tree, children, first};
use crate::source::Spanned;

impl Tree<'_> {
    pub(super) fn property(&mut self, pair: Pair<'_, Rule>) -> Option<Property> {
        let word = first(&pair, Rule::ident).map(|word| self.word(&word))?;
        let list = first(&pair, Rule::subjects);
        let closing = list.as_ref().and_then(|list| first(list, Rule::rparen));
        let subjects = list.into_iter().flat_map(|list| children(list, Rule::subject));
        let mut of: Vec<Spanned<String>> = subjects.map(|subject| self.subject(&subject)).collect();
        let bound = self.bound(&pair);
        // The blanks behind the last part are none of it.
        let last = match &bound {
            Some(Bound::Within(_, end) | Bound::Beyond(_, end)) => end.span,
            None => closing.map_or(word.span, |closing| self.span(&closing)),
        };
        // `invariant flip_horizontal(image)` says what is done to what.
        let kind = match first(&pair, Rule::kw_invariant) {
            Some(keyword) => {
                of.insert(0, word);
                self.word(&keyword)
            }
            None => word,
        };
        let head = Head(kind.span.to(last));
        Some(Property { kind, of, bound, head })
    }

    /// A path, or a name in quotation marks.
    fn subject(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        let text = pair.as_str();
        let value = if text.starts_with('"') { unescape(text) } else { text.to_owned() };
        Spanned::new(value, self.span(pair))
    }

    fn bound(&mut self, pair: &Pair<'_, Rule>) -> Option<Bound> {
        if let Some(range) = first(pair, Rule::range) {
            let mut ends = children(range, Rule::expr);
            return Some(Bound::Within(self.expr(ends.next()?), self.expr(ends.next()?)));
        }
        let limit = first(pair, Rule::limit)?;
        let operator = limit.clone().into_inner().next()?;
        let relation = Relation::ALL.into_iter().find(|relation| relation.words().0 == operator.as_str())?;
        Some(Bound::Beyond(relation, self.expr(first(&limit, Rule::expr)?)))
    }
}

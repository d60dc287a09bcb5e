//! Words of category columns beyond the tables that look them up.
//!
//! Contract: runs behind the net, when it is known which tables take which columns, and tells the data plan. Where a vocabulary has more words than a table has
//! rows, the rows of the data are read until one holds such a word, and the finding stands there; a vocabulary that is given may have
//! more words than the data.

use super::Lowering;
use crate::data::{Content, Pipeline, Reading, Vocabulary};
use crate::diag::{Diagnostic, rules};
use crate::graph::{Feed, Handle, Node, Source};
use crate::text::plural;

impl Lowering<'_> {
    /// Compares the vocabularies with the tables.
    pub(super) fn words(&mut self) {
        let feeds: Vec<Handle<Feed>> = self.graph.feeds.handles().collect();
        for feed in feeds {
            let (name, rows) = (self.graph.feeds[feed].name.clone(), self.graph.vocabulary(feed));
            let groups = self.graph.data.iter_mut().flat_map(|plan| &mut plan.groups);
            if let Some(group) = groups.into_iter().find(|group| group.name.value == name) {
                group.rows = rows;
            }
            self.out.extend(self.beyond(feed));
        }
    }

    /// The finding for a column with more words than the smallest of its tables has rows.
    fn beyond(&self, handle: Handle<Feed>) -> Option<Diagnostic> {
        let feed = &self.graph.feeds[handle];
        let plan = self.graph.data.as_ref()?;
        let group = plan.group(&feed.name)?;
        let (words, rows) = (group.words()?, self.graph.vocabulary(handle)?);
        if words <= rows {
            return None;
        }
        let takes = |(_, node): &(Handle<Node>, &Node)| node.op.vocabulary() == Some(rows);
        let (_, table) = self.graph.consumers(Source::Feed(handle)).find(takes)?;
        let vocabulary = match &group.content {
            Content::Category(Vocabulary::Given(words)) => Some(words.clone()),
            _ => self.vocabularies.get(&feed.name).cloned(),
        };
        let first = vocabulary.and_then(|words| {
            let pipeline = Pipeline::start(group, &group.chain, Some(words));
            let read = |split| Reading::new(plan, group, split, self.loader).rows(&pipeline, |_| ()).err();
            plan.splits()
                .into_iter()
                .find_map(read)
                .filter(|fault| fault.rule.code == rules::WORD_WITHOUT_ROW.code)
        });
        let span = table.argument("vocab");
        let held = format!("{} for {}", plural(rows, "row"), plural(words, "word"));
        let finding = match first {
            Some(fault) => fault.note("table", format!("`{}` has {held} of `{}`", table.path, feed.name)),
            None => {
                let message = format!("`{}` has {held} of `{}`", table.path, feed.name);
                Diagnostic::new(&rules::WORD_WITHOUT_ROW, span, message).label(feed.span, "listed here")
            }
        };
        Some(finding.node(table.path.to_string()).trail(&table.trail).help(format!("vocab={words}")))
    }
}

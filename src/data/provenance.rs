//! Which rows have had a say in which numbers: fit labels, and how they flow.
//!
//! Contract: every fitted step is an [`Artefact`] with an identity (its group, its chain, its place in it) and a [`Label`], the set of
//! splits whose rows it has seen. Labels form the lattice of subsets, Train < Train + Val < All with Test apart, and join by union. What
//! a step made carries the labels of all steps before it, so that statistics fitted on train behind statistics fitted on all have seen
//! all. Weights are trained on what the chain of `train` makes and have seen whatever it has.
//!
//! A split is judged fairly if neither its own chain nor the weights have seen it.

use super::{Content, Group, Plan, Split, Step, Vocabulary, vocabulary_fit};

/// The splits whose rows something has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label(u8);

impl Label {
    /// Nothing at all: given constants.
    pub const NONE: Self = Self(0);

    /// What the rows of one split tell; `all` stands for the splits that a plan has.
    #[must_use]
    pub fn of(split: Split, plan: &Plan) -> Self {
        match split {
            Split::Train => Self(1),
            Split::Val => Self(2),
            Split::Test => Self(4),
            Split::All => {
                let rows = plan.splits().into_iter().filter(|split| *split != Split::All);
                rows.fold(Self::NONE, |all, split| all.join(Self::of(split, plan)))
            }
        }
    }

    /// What both have seen together.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have seen each.
    #[must_use]
    pub const fn meet(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether everything in this label is in the other.
    #[must_use]
    pub const fn is_below(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The splits, in order.
    #[must_use]
    pub fn splits(self) -> Vec<Split> {
        let all = [(1, Split::Train), (2, Split::Val), (4, Split::Test)];
        all.into_iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, split)| split).collect()
    }
}

/// A fitted step of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Artefact<'a> {
    /// The group whose columns it belongs to.
    pub group: &'a Group,
    /// The split whose own chain it is part of; `None` for the declared chain.
    pub own: Option<Split>,
    /// The step, which may share what another spec has fitted; `None` for a vocabulary whose split is not written.
    pub step: Option<&'a Step>,
    /// The rows that its own statistics were fitted on.
    pub fit: Label,
    /// The rows that have had a say in it: its own, and those of the steps before it.
    pub seen: Label,
}

/// The fitted steps of a chain, in order.
#[must_use]
pub fn artefacts<'a>(plan: &Plan, group: &'a Group, own: Option<Split>) -> Vec<Artefact<'a>> {
    let mut seen = Label::NONE;
    let mut out = Vec::new();
    let chain = own.map_or(group.chain.as_slice(), |split| group.chain_on(split));
    if let Content::Category(Vocabulary::Fitted(_)) = &group.content {
        let fit = Label::of(vocabulary_fit(chain), plan);
        seen = seen.join(fit);
        let step = chain.iter().find(|step| step.transform.vocabulary().is_some());
        out.push(Artefact { group, own, step, fit, seen });
    }
    // Who trains on shared statistics has seen what they have seen; rows that are only served are others than those.
    let trains = plan.splits().contains(&Split::Train);
    for step in chain {
        let Some(split) = step.transform.fit().or(step.shared.filter(|_| trains)) else { continue };
        let fit = Label::of(split, plan);
        seen = seen.join(fit);
        out.push(Artefact { group, own, step: Some(step), fit, seen });
    }
    out
}

/// The splits of evaluation whose judgement an artefact spoils: those that its own statistics have seen, if they pass through its chain, or
/// if the training rows do and the weights have seen them, too.
#[must_use]
pub fn spoils(plan: &Plan, artefact: &Artefact<'_>) -> Vec<Split> {
    let Artefact { group, own, step: _, fit, seen: _ } = artefact;
    let passes = |split: Split| match own {
        Some(own) => *own == split,
        None => !group.overrides.contains_key(&split),
    };
    let judged = [Split::Val, Split::Test];
    let has_seen = |split: &Split| Label::of(*split, plan).is_below(*fit);
    judged.into_iter().filter(has_seen).filter(|split| passes(Split::Train) || passes(*split)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{File, Rows};
    use crate::source::{Sources, Span};

    #[test]
    fn labels_form_a_lattice() {
        let span = Span::new(Sources::default().add("a.nn", ""), 0..0);
        let file = File { path: "a.csv".into(), shown: "a.csv".into(), span };
        let of = |splits: &[Split]| Plan {
            rows: Rows::Files(splits.iter().map(|split| (*split, file.clone())).collect()),
            groups: Vec::new(),
            oversample: None,
            about: crate::data::About::default(),
            span,
        };
        let plan = of(&[Split::Train, Split::Val, Split::Test]);
        let [train, val, test, all] =
            [Split::Train, Split::Val, Split::Test, Split::All].map(|split| Label::of(split, &plan));
        let both = train.join(val);
        assert!(train.is_below(both) && both.is_below(all) && test.is_below(all));
        assert!(!test.is_below(both) && !all.is_below(both) && train.meet(test) == Label::NONE);
        assert_eq!(both.splits(), [Split::Train, Split::Val]);
        let single = of(&[Split::Train]);
        assert_eq!(Label::of(Split::All, &single), Label::of(Split::Train, &single));
    }
}

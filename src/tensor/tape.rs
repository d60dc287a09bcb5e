//! Discrete decisions and random draws.
//!
//! Contract: whatever a kernel decides by comparison (the sign of a ReLU, the place of a maximum) goes through
//! [`Tape::choose`], and whatever it draws comes from [`Draws`]. A recorded tape can be replayed at another point, which
//! makes the replayed function smooth: the derivative of the branch that was taken.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The decisions of one node, one per element that needs one.
#[derive(Debug)]
pub enum Tape<'a> {
    /// Decide and forget.
    Live,
    /// Decide and remember.
    Record(&'a mut Vec<u32>),
    /// Do as was decided before.
    Replay(&'a [u32]),
}

impl Tape<'_> {
    /// Decision number `i`. Kernels ask for decisions in the order 0, 1, 2, ...
    pub fn choose(&mut self, i: usize, decide: impl FnOnce() -> u32) -> u32 {
        match self {
            Self::Live => decide(),
            Self::Record(made) => {
                debug_assert_eq!(made.len(), i, "internal: decisions out of order");
                let choice = decide();
                made.push(choice);
                choice
            }
            Self::Replay(made) => made[i],
        }
    }

    /// Whether decisions are taken here and now and nobody remembers them.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// The source of a node's random draws: a seed, and a stream that belongs to the node's path alone, so that the draws of
/// one node do not move another's.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// The seed of the run.
    pub seed: u64,
    /// The node's stream.
    pub stream: u64,
}

impl Draws {
    /// A generator at the start of the stream.
    #[must_use]
    pub fn generator(self) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(self.stream);
        generator
    }

    /// Uniform numbers in [0, 1) with 53 random bits, in the order of the elements.
    pub fn uniform(self) -> impl Iterator<Item = f64> {
        let mut generator = self.generator();
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        std::iter::repeat_with(move || (generator.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64))
    }
}

/// The stream of a name: the first eight bytes of its SHA-256, which no platform or version changes.
#[must_use]
pub fn stream(name: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

//! The optimisers that a spec can name.
//!
//! Contract: their signatures name positional arguments, are read by lowering, printed by `expand` and listed by the schema.

use crate::args::{Kind, Param, optional, required};
use crate::manual::Callable;

const LR: Param = required("lr", Kind::Number, "the learning rate");
const BETA1: Param = optional("beta1", Kind::Number, "0.9", "the decay of the first moment");
const BETA2: Param = optional("beta2", Kind::Number, "0.999", "the decay of the second moment");
const EPS: Param = optional("eps", Kind::Number, "1e-8", "what is added to the root of the second moment");

/// All of them.
pub const ALL: &[Callable] = &[
    Callable {
        name: "sgd",
        group: "optimiser",
        signature: &[LR, optional("momentum", Kind::Number, "0", "the momentum")],
        page: "//! Gradient descent on batches: v <- momentum v + g, w <- w - lr v, as PyTorch defines it.\n",
    },
    Callable {
        name: "adam",
        group: "optimiser",
        signature: &[LR, BETA1, BETA2, EPS],
        page: "//! Adam: each weight moves by lr times its mean gradient over the root of its mean square.\n//!\n//! Kingma and Ba \
               2015, with bias correction, as PyTorch defines it. A penalty of the loss is part of the gradient.\n",
    },
    Callable {
        name: "adamw",
        group: "optimiser",
        signature: &[
            LR,
            optional("weight_decay", Kind::Number, "0.01", "the decoupled weight decay"),
            BETA1,
            BETA2,
            EPS,
        ],
        page: "//! Adam with decoupled weight decay: w <- w - lr weight_decay w besides the step of Adam.\n//!\n//! Loshchilov and \
               Hutter 2019, as PyTorch defines it.\n",
    },
];

/// The optimiser of this name, if there is one.
#[must_use]
pub fn find(name: &str) -> Option<&'static Callable> {
    ALL.iter().find(|optimizer| optimizer.name == name)
}

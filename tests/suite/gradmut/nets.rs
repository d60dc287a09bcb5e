//! The nets on which mutants are planted, and random clean ones.

/// Norms, GELUs, dropout, a residual sum, tanh and square layers, with penalties.
const MLP: &str = "spec 1
model mlp()
input x: f64[B, 8]
target y: class(4)
default linear(init=lecun_normal, bias_init=normal(0.1))
net {
  a: linear(8)
     layer_norm(gamma=normal(1, 0.2), beta=normal(0.2))
     gelu
  b: linear(8)
     dropout(0.3)
     gelu(approx=tanh)
  r: residual {
    s: linear(8)
       silu
    t: linear(8)
       sigmoid
  }
  u: linear(6)
     relu
  v: linear(4)
}
train { loss cross_entropy(v, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// Convolutions of every kind, norms of channels, pools and a gate.
const CNN: &str = "spec 1
model cnn()
input x: f64[B, 2, 8, 8]
target y: class(3)
default conv2d(init=he_normal, bias_init=normal(0.1))
net {
  a: conv2d(4, kernel=3, pad=1)
     batch_norm(gamma=normal(1, 0.2), beta=normal(0.2), eps=1e-3)
     leaky_relu(0.1)
     max_pool(2)
  d: conv2d(4, kernel=3, pad=1, groups=4)
     elu
  e: conv2d(4, kernel=3, pad=2, dilation=2)
     group_norm(2, gamma=normal(1, 0.2), beta=normal(0.2))
  g: conv2d(6, kernel=3, stride=2, pad=1)
     relu
     avg_pool(2)
     flatten
  h: linear(6, init=lecun_normal)
     sigmoid
  m: mul <- g.flatten, h.sigmoid
  z: linear(3, init=lecun_normal, bias_init=normal(0.1))
}
train { loss cross_entropy(z, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// A regression on smooth hidden layers.
const REG: &str = "spec 1
model reg()
input x: f64[B, 6]
target y: f64[B, 3]
default linear(init=lecun_normal, bias_init=normal(0.1))
net {
  a: linear(6)
     tanh
  b: linear(5)
     rms_norm(gamma=normal(1, 0.2))
     softmax
  c: linear(3)
}
train { loss mse(c, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// Maps that grow again, against a robust loss.
const UP: &str = "spec 1
model up()
input x: f64[B, 3, 3, 3]
target y: f64[B, 2, 6, 6]
net {
  a: conv_transpose2d(2, kernel=3, stride=2, pad=1, output_pad=1, init=he_normal, bias_init=normal(0.1))
     prelu(channels=true)
  b: conv2d(2, kernel=3, pad=1, init=he_normal, bias_init=normal(0.1))
}
train { loss huber(b, y, delta=0.5)  adam(lr=1e-2) }
";

/// Attention with and without a mask, and products of values with either factor transposed.
const TFM: &str = "spec 1
model tfm()
input x: f64[B, 4, 6]
target y: f64[B, 4, 3]
default linear(init=lecun_normal, bias_init=normal(0.1))
net {
  n: layer_norm(gamma=normal(1, 0.2), beta=normal(0.2))
  q: linear(6)                      <- n
  k: linear(6)                      <- n
  v: linear(6)                      <- n
  a: attention(2)                   <- q, k, v
  o: linear(6)
  c: attention(3, causal=true)      <- o, k, v
  s: matmul(transpose_b=true)       <- c, v
  r: matmul(transpose_b=true)       <- o, q
  m: matmul(transpose_a=true)       <- s, r
  p: matmul                         <- m, c
  z: linear(3)
}
train { loss mse(z, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// Tokens of a small vocabulary, which repeat within a row and over the batch, before attention.
const WORDS: &str = "spec 1
model words()
input ids: int[B, 6]
target y: class(3)
default linear(init=lecun_normal, bias_init=normal(0.1))
net {
  e: embedding(5, 6)                <- ids
  n: layer_norm(gamma=normal(1, 0.2), beta=normal(0.2))
  q: linear(6)                      <- n
  k: linear(6)                      <- n
  v: linear(6)                      <- n
  a: attention(2)                   <- q, k, v
  r: add                            <- a, e
     flatten
  z: linear(3)
}
train { loss cross_entropy(z, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// The same with more rows than tokens: most rows are not looked up, and those that are, are looked up more than once.
const RARE: [&str; 2] = ["embedding(5, 6)", "embedding(500, 6)"];
/// Branches that end in factors of their channels, over maps and over positions.
const BRANCH: &str = "spec 1
model branch()
input x: f64[B, 4, 3, 3]
target y: f64[B, 3]
net {
  r: residual {
    a: conv2d(4, kernel=3, pad=1, init=he_normal, bias_init=normal(0.1))
       gelu
    c: layer_scale(init=normal(0.5, 0.2))
  }
     reshape([9, 4])
  s: residual {
    b: linear(4, init=lecun_normal, bias_init=normal(0.1))
       tanh
    t: layer_scale(init=normal(0.5, 0.2))
  }
     flatten
  z: linear(3, init=lecun_normal)
}
train { loss mse(z, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// Layers that share weights: two of one matrix, and a convolution with its transpose.
const TIED: &str = "spec 1
model tied()
input x: f64[B, 2, 4, 4]
target y: f64[B, 3]
default linear(init=lecun_normal, bias_init=normal(0.1))
net {
  a: conv2d(3, kernel=3, stride=2, pad=1, init=lecun_normal)
     tanh
  b: conv_transpose2d(2, kernel=3, stride=2, pad=1, output_pad=1, tie=a)
     tanh
     flatten
  s: linear(6)
     tanh
  r: linear(6)
     gelu
  t: linear(6, tie=r)
     tanh
  u: linear(6, tie=r)
     tanh
  z: linear(3)
}
train { loss mse(z, y)  l2 1e-4 on weights  adam(lr=1e-2) }
";

/// A net by its name.
pub fn net(name: &str) -> String {
    let text = match name {
        "mlp" => MLP,
        "mlp, biases zero" => return MLP.replace("bias_init=normal(0.1)", "bias_init=zeros"),
        "mlp, nothing dropped" => return MLP.replace("dropout(0.3)", "dropout(0)"),
        "mlp, weights zero" => return MLP.replace("b: linear(8)", "b: linear(8, init=zeros)"),
        "mlp, labels smoothed" => {
            return MLP.replace("cross_entropy(v, y)", "cross_entropy(v, y, label_smoothing=0.1)");
        }
        "cnn" => CNN,
        "reg" => REG,
        "reg, huber" => return REG.replace("loss mse(c, y)", "loss huber(c, y, delta=0.3)"),
        "up" => UP,
        "tfm" => TFM,
        "words" => WORDS,
        "words, many rows" => return WORDS.replace(RARE[0], RARE[1]),
        "branch" => BRANCH,
        "tied" => TIED,
        _ => panic!("no net is called {name}"),
    };
    text.to_owned()
}

/// Numbers of a counter through a mixing function.
pub struct Dice(pub u64);

impl Dice {
    #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const INITS: &[&str] = &[
    "he_normal",
    "lecun_normal",
    "xavier_uniform",
    "orthogonal",
    "zeros",
    "ones",
    "normal(3)",
    "normal(1e-6)",
];
const ACTIVATIONS: &[&str] = &[
    "relu",
    "relu6",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "gelu",
    "gelu(approx=tanh)",
    "silu",
    "mish",
    "hardswish",
    "tanh",
    "hardtanh",
    "softsign",
    "sigmoid",
    "softplus",
    "softmax",
    "log_softmax",
];

/// Seeds from here on give nets of sequences, with attention and products; every other one looks them up in a table.
pub const TOKENS: u64 = 1_000;

/// A random clean spec: layers, norms, activations, pools and losses in any order, with ties by zeros and ones.
pub fn clean(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x1234_5678_9ABC_DEF1) ^ 0x4D);
    let tokens = seed >= TOKENS;
    let maps = dice.below(2) == 1 && !tokens;
    // Shared weights and factors have dice of their own: a seed that gets none keeps the net that it had without them.
    let mut added = Dice(seed ^ 0x7135);
    let mut net = String::new();
    let looked_up = tokens && seed % 2 == 1;
    let mut layers = Vec::new();
    let mut line = |text: String| net.push_str(&format!("  {text}\n"));
    if looked_up {
        let table = dice.one(&["3, 4", "40, 4, init=normal(0.02)", "7, 4, init=ones", "5, 4, init=zeros"]);
        line(format!("e: embedding({table}) <- x"));
    }
    for i in 0..=dice.below(4) {
        let init = dice.one(INITS);
        let bias = dice.one(&["zeros", "normal(0.1)", "ones"]);
        let width = 4;
        // Layers of one shape share the weight of the first of them, once in a while.
        let tied = match (maps, layers.last()) {
            (false, Some(first)) if added.below(4) == 0 => Some(*first),
            _ => None,
        };
        let layer = match (maps, dice.below(4)) {
            (false, _) => match tied {
                Some(first) => format!("linear({width}, bias_init={bias}, tie=n{first})"),
                None => format!("linear({width}, init={init}, bias_init={bias})"),
            },
            (true, 0) => format!("conv2d({width}, kernel=1, init={init}, bias_init={bias})"),
            (true, 1) => format!("conv2d({width}, kernel=3, pad=2, dilation=2, init={init})"),
            (true, 2) => format!("conv2d({width}, kernel=3, pad=same, groups=2, init={init}, bias=false)"),
            (true, _) => format!("conv_transpose2d({width}, kernel=3, pad=1, init={init}, bias_init={bias})"),
        };
        let residual = i > 0 && dice.below(3) == 0;
        if residual {
            line(format!("r{i}: residual {{"));
        }
        line(format!("n{i}: {layer}"));
        layers.push(i);
        if tokens {
            match dice.below(4) {
                0 => line(format!("t{i}: attention(2) <- n{i}, n{i}, n{i}")),
                1 => line(format!("t{i}: attention(4, causal=true, scale=2) <- n{i}, n{i}, n{i}")),
                2 => line(format!("t{i}: matmul(transpose_b=true) <- n{i}, n{i}")),
                _ => {}
            }
        }
        if added.below(9) == 0 {
            let factors = added.one(&["constant(1e-4)", "normal(1, 0.5)", "zeros"]);
            line(format!("s{i}: layer_scale({factors})"));
        }
        match dice.below(8) {
            0 => line("batch_norm".to_owned()),
            1 => line("layer_norm".to_owned()),
            2 => line("group_norm(2)".to_owned()),
            3 => line("rms_norm".to_owned()),
            4 => line("dropout(0.4)".to_owned()),
            _ => {}
        }
        if dice.below(6) > 0 {
            line(dice.one(ACTIVATIONS).to_owned());
        }
        if residual {
            line("}".to_owned());
        } else if maps && i == 0 {
            match dice.below(4) {
                0 => line("max_pool(2)".to_owned()),
                1 => line("avg_pool(2)".to_owned()),
                2 => line("upsample(2)".to_owned()),
                _ => {}
            }
        }
    }
    if maps {
        line(dice.one(&["flatten", "global_avg_pool"]).to_owned());
    }
    if tokens {
        line("flatten".to_owned());
    }
    let (target, loss) = [
        ("class(3)", "cross_entropy(z, y)"),
        ("f64[B, 3]", "mse(z, y)"),
        ("f64[B, 3]", "mae(z, y)"),
        ("f64[B, 3]", "huber(z, y, delta=0.5)"),
    ][dice.below(4)];
    let penalty = dice.one(&["", "l2 1e-3 on weights", "l1 1e-2 on all"]);
    let input = match (maps, tokens) {
        (true, _) => "f64[B, 4, 4, 4]",
        (_, true) if looked_up => "int[B, 4]",
        (_, true) => "f64[B, 4, 4]",
        _ => "f64[B, 4]",
    };
    let init = dice.one(INITS);
    let optimizer = dice.one(&["adam(lr=1e-2)", "sgd(lr=1e-2)", "sgd(lr=1e-3, momentum=0.9)"]);
    format!(
        "spec 1\nmodel m()\ninput x: {input}\ntarget y: {target}\nnet {{\n{net}  z: linear(3, init={init})\n}}\ntrain {{ loss {loss}  {penalty}  {optimizer} }}\n"
    )
}

#!/usr/bin/env python3
"""Writes the reference data of this folder with PyTorch.

For every NAME.nn in this folder the same model is defined here, independently, as PyTorch code. This script draws weights and
inputs, runs the model in float64 and writes, in the safetensors format,

    NAME.weights.safetensors    the state dict: trainable tensors and running statistics
    NAME.input.safetensors      inputs (F64, or I64 for tokens) and targets (F64, or I64 for class labels), by the names of the spec
    NAME.expected.safetensors   loss (with the penalties of the spec), output (what the loss reads first),
                                grad/<param>, grad_input/<input>

Models whose name ends in `_eval` are run in eval mode, all others in training mode. The test `reference` runs every spec
on these weights and inputs and compares every tensor. Needs Python 3 with PyTorch 1.10 or later (written with 1.13) and
nothing else; run it without arguments, or with the names of some models. The files depend on PyTorch's generator and kernels, so another version of
PyTorch may change digits: the inputs and weights are stored, the comparison has a tolerance, and nothing runs this
script automatically.
"""

import json
import pathlib
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).parent
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


def save(path, tensors):
    """The safetensors format: the header's length (u64), the header (JSON, padded with spaces to 8 bytes), the data."""
    names = {torch.float64: "F64", torch.int64: "I64"}
    header, data = {}, b""
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        raw = tensor.numpy().tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Model(nn.Module):
    """A model with submodules under the names of the spec; a name with a dot is a module inside another one."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def layer(self, name):
        module = self
        for part in name.split("."):
            module = module._modules[part]
        return module


def inside(outer, **layers):
    for name, layer in layers.items():
        outer.add_module(name, layer)
    return outer


def kernels(model):
    """The weights of linear layers, convolutions and embeddings: what `on weights` covers."""
    return [m.weight for m in model.modules() if isinstance(m, LAYERS)]


def l1(factor, tensors):
    return factor * sum(w.abs().sum() for w in tensors)


def l2(factor, tensors):
    return factor / 2 * sum((w * w).sum() for w in tensors)


def everything(model):
    return list(model.parameters())


class Bias(nn.Module):
    """What a layer that shares its weight has of its own."""

    def __init__(self, features):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(features))


class Mlp(Model):
    def __init__(self):
        super().__init__(fc1=nn.Linear(7, 9), fc2=nn.Linear(9, 6, bias=False), out=nn.Linear(6, 4))

    inputs = {"x": (6, 7)}
    classes = {"y": (4, (6,))}

    def forward(self, x):
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))

    def loss(self, output, y):
        return F.cross_entropy(output, y) + l2(3e-2, kernels(self))


class CnnTrain(Model):
    def __init__(self):
        conv1 = nn.Conv2d(2, 6, (3, 5), stride=(2, 1), padding=(1, 2))
        super().__init__(
            conv1=inside(conv1, batch_norm=nn.BatchNorm2d(6)),
            conv2=nn.Conv2d(6, 8, 3, padding=2, dilation=2, groups=2, bias=False),
            bn2=nn.BatchNorm2d(8, eps=1e-3, momentum=0.3),
            conv3=nn.Conv2d(8, 4, 1),
            head=nn.Linear(4, 5),
        )

    inputs = {"image": (4, 2, 13, 11)}
    classes = {"y": (5, (4,))}

    def forward(self, image):
        h = F.relu(self.layer("conv1.batch_norm")(self.conv1(image)))
        h = F.max_pool2d(h, 3, stride=2, padding=1)
        h = F.relu(self.bn2(self.conv2(h)))
        h = F.avg_pool2d(h, (2, 3), stride=1, padding=(1, 0))
        h = F.relu(self.conv3(h))
        return self.head(h.mean(dim=(2, 3)))

    def loss(self, output, y):
        return F.cross_entropy(output, y) + l2(1e-2, everything(self))


class CnnEval(Model):
    def __init__(self):
        super().__init__(
            conv1=inside(nn.Conv2d(3, 5, 2, padding="same"), batch_norm=nn.BatchNorm2d(5)),
            conv2=inside(nn.Conv2d(5, 6, 3, stride=2, bias=False), batch_norm=nn.BatchNorm2d(6)),
            fc=inside(nn.Linear(6, 7), batch_norm=nn.BatchNorm1d(7)),
            head=nn.Linear(7, 3),
        )

    inputs = {"image": (3, 3, 8, 8)}
    classes = {"y": (3, (3,))}

    def forward(self, image):
        h = F.relu(self.layer("conv1.batch_norm")(self.conv1(image)))
        h = F.max_pool2d(F.dropout(h, 0.4, self.training), 2)
        h = F.relu(self.layer("conv2.batch_norm")(self.conv2(h)))
        h = F.dropout(h.flatten(1), 0.5, self.training)
        h = F.relu(self.layer("fc.batch_norm")(self.fc(h)))
        return self.head(h)

    def loss(self, output, y):
        return F.cross_entropy(output, y)


class Basic(Model):
    def __init__(self, before, channels, stride):
        super().__init__(
            conv1=nn.Conv2d(before, channels, 3, stride, 1, bias=False),
            bn1=nn.BatchNorm2d(channels),
            conv2=nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            bn2=nn.BatchNorm2d(channels),
        )
        self.projects = stride != 1 or before != channels
        if self.projects:
            conv, bn = nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            self.add_module("shortcut", Model(conv=conv, bn=bn))

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = self.shortcut.bn(self.shortcut.conv(x)) if self.projects else x
        return F.relu(h + shortcut)


class Residual(Model):
    def __init__(self):
        super().__init__(a=Basic(3, 5, 2), b=Basic(5, 5, 1), head=nn.Linear(5, 4))

    inputs = {"image": (4, 3, 6, 6)}
    classes = {"y": (4, (4,))}

    def forward(self, image):
        return self.head(self.b(self.a(image)).mean(dim=(2, 3)))

    def loss(self, output, y):
        return F.cross_entropy(output, y)


class Depthwise(Model):
    def __init__(self):
        super().__init__(
            depth1=nn.Conv2d(4, 4, 3, padding=1, groups=4),
            point1=nn.Conv2d(4, 6, 1, bias=False),
            depth2=nn.Conv2d(6, 12, (4, 2), padding="same", groups=6),
            point2=nn.Conv2d(12, 3, 1, groups=3),
        )

    inputs = {"image": (2, 4, 7, 6)}
    classes = {"y": (3, (2, 7, 6))}

    def forward(self, image):
        h = F.relu(self.point1(F.relu(self.depth1(image))))
        return self.point2(F.relu(self.depth2(h)))

    def loss(self, output, y):
        return F.cross_entropy(output, y)


class Smooth(Model):
    def __init__(self):
        layers = {name: nn.Linear(6 if name == "a" else 8, 8) for name in "abcdefghi"}
        super().__init__(**layers, out=nn.Linear(8, 2))

    inputs = {"x": (5, 6)}
    targets = {"y": (5, 2)}

    def forward(self, x):
        h = torch.tanh(self.a(x))
        h = F.gelu(self.b(h))
        h = F.gelu(self.c(h), approximate="tanh")
        h = F.silu(self.d(h))
        h = F.softplus(self.e(h))
        h = torch.sigmoid(self.f(h))
        h = F.selu(self.g(h))
        h = F.elu(self.h(h), 0.7)
        h = F.leaky_relu(self.i(h), 0.2)
        return self.out(h)

    def loss(self, output, y):
        return F.mse_loss(output, y) + l1(1e-2, kernels(self))


class Gated(Model):
    def __init__(self):
        super().__init__(
            norm=nn.LayerNorm(4, eps=1e-3),
            value=nn.Linear(4, 6),
            score=nn.Linear(4, 6, bias=False),
            side=nn.Linear(5, 4),
            both=Model(layer_norm=nn.LayerNorm(22)),
            out=nn.Linear(22, 1),
        )

    inputs = {"tokens": (4, 3, 4), "extra": (4, 5)}
    targets = {"price": (4, 1)}

    def forward(self, tokens, extra):
        h = self.norm(tokens)
        mixed = self.value(h) * F.softmax(self.score(h), dim=1)
        both = torch.cat([mixed.flatten(1), F.elu(self.side(extra))], dim=1)
        return self.out(self.both.layer_norm(both))

    def loss(self, output, price):
        return F.l1_loss(output, price)


class Robust(Model):
    def __init__(self):
        super().__init__(a=nn.Linear(5, 7), out=nn.Linear(7, 3))

    inputs = {"x": (6, 5)}
    targets = {"y": (6, 3)}

    def forward(self, x):
        return self.out(F.relu(self.a(x)))

    def loss(self, output, y):
        return F.huber_loss(output, y, delta=0.5) + l1(1e-3, everything(self)) + l2(1e-2, kernels(self))


class Binary(Model):
    def __init__(self):
        super().__init__(a=nn.Linear(5, 7), out=nn.Linear(7, 1))

    inputs = {"x": (6, 5)}
    classes = {"y": (2, (6,))}

    def forward(self, x):
        return self.out(F.selu(self.a(x)))

    def loss(self, output, y):
        return F.binary_cross_entropy_with_logits(output.squeeze(1), y.double()) + l2(1e-2, kernels(self))


class RmsNorm(nn.Module):
    """By its definition: PyTorch has a module of this name from version 2.4 on."""

    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.eps = eps

    def forward(self, x):
        return x / (x.pow(2).mean(dim=-1, keepdim=True) + self.eps).sqrt() * self.weight


class Pieces(Model):
    def __init__(self):
        super().__init__(
            a=nn.Linear(5, 8),
            b=nn.Linear(8, 8),
            c=nn.Linear(8, 8),
            d=nn.Linear(8, 8),
            e=nn.Linear(8, 8),
            f=inside(nn.Linear(8, 8), prelu=nn.PReLU()),
            g=nn.Linear(8, 8),
            each=nn.PReLU(8),
            out=nn.Linear(8, 3),
        )

    inputs = {"x": (6, 5)}
    targets = {"y": (6, 3)}
    scale = 5.0

    def forward(self, x):
        h = F.relu6(self.a(x))
        h = F.mish(self.b(h))
        h = F.hardswish(self.c(h))
        h = F.hardtanh(self.d(h), -0.5, 2.0)
        h = F.softsign(self.e(h))
        h = self.layer("f.prelu")(self.f(h))
        h = self.each(self.g(h))
        return self.out(F.hardtanh(h))

    def loss(self, output, y):
        return F.mse_loss(output, y) + l2(1e-2, kernels(self))


class Unet(Model):
    def __init__(self):
        down = inside(nn.Conv2d(4, 6, 3, padding=1), group_norm=nn.GroupNorm(3, 6), prelu=nn.PReLU(6))
        super().__init__(
            down=down,
            up=nn.ConvTranspose2d(6, 4, (3, 2), stride=2, padding=(1, 0), output_padding=(1, 0), groups=2),
            norm=nn.GroupNorm(2, 10, eps=1e-3),
            thin=nn.ConvTranspose2d(10, 2, 2, padding=1, dilation=2, bias=False),
            point=nn.ConvTranspose2d(2, 3, 1),
            head=nn.Conv2d(3, 1, 1),
        )

    inputs = {"image": (2, 4, 6, 6)}
    units = {"mask": (2, 1, 12, 12)}

    def forward(self, image):
        down = self.layer("down.prelu")(self.layer("down.group_norm")(self.down(image)))
        both = torch.cat([down, self.up(F.max_pool2d(down, 2))], dim=1)
        h = F.interpolate(self.norm(both), scale_factor=(2, 1), mode="bilinear", align_corners=False)
        h = F.interpolate(self.thin(h), scale_factor=(1, 2), mode="nearest")
        h = F.hardswish(self.point(h.permute(0, 1, 3, 2)))
        return torch.sigmoid(self.head(h))

    def loss(self, output, mask):
        return F.binary_cross_entropy(output, mask) + l2(1e-2, kernels(self))


class Tokens(Model):
    def __init__(self):
        super().__init__(
            norm=RmsNorm(6),
            gate=nn.Linear(6, 8, bias=False),
            up=nn.Linear(6, 8, bias=False),
            down=nn.Linear(8, 6, bias=False),
            mix=nn.Linear(4, 4),
            last=RmsNorm(6, eps=1e-2),
            head=nn.Linear(6, 5),
        )

    inputs = {"tokens": (3, 4, 6)}
    classes = {"y": (5, (3, 4))}

    def forward(self, tokens):
        h = self.norm(tokens)
        h = tokens + self.down(F.silu(self.gate(h)) * self.up(h))
        h = F.mish(self.mix(h.transpose(1, 2))).transpose(1, 2)
        return F.log_softmax(self.head(self.last(h)), dim=2)

    def loss(self, output, y):
        return F.nll_loss(output.permute(0, 2, 1), y)


class Transformer(Model):
    """A pre-norm block with causal attention, cross attention to a memory of another length, and products written out."""

    def __init__(self):
        layers = {"norm": nn.LayerNorm(8), "cross_norm": nn.LayerNorm(8), "feed_norm": nn.LayerNorm(8)}
        # A bias of the keys moves all scores of a query alike, and has no gradient.
        linears = {
            name: nn.Linear(8, 8, bias=not name.endswith("k"))
            for name in ("q", "k", "v", "o", "cq", "ck", "cv", "co")
        }
        super().__init__(**layers, **linears, up=nn.Linear(8, 16), down=nn.Linear(16, 8), head=nn.Linear(4, 3))

    inputs = {"tokens": (3, 5, 8), "memory": (3, 7, 8)}
    targets = {"y": (3, 5, 3)}

    def forward(self, tokens, memory):
        def split(x, heads):
            return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)

        def join(x):
            return x.transpose(1, 2).flatten(2)

        z = self.norm(tokens)
        q, k, v = (split(layer(z), 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
        x = tokens + self.o(join(scores.softmax(-1) @ v))
        z = self.cross_norm(x)
        q, k, v = split(self.cq(z), 4), split(self.ck(memory), 4), split(self.cv(memory), 4)
        x = x + self.co(join((q @ k.transpose(-2, -1) * 0.3).softmax(-1) @ v))
        x = x + self.down(F.gelu(self.up(self.feed_norm(x))))
        products = x @ memory.transpose(1, 2) @ memory
        halves = products.view(3, 5, 2, 4)
        return self.head(torch.einsum("btha,btka->bthk", halves, halves).flatten(2))

    def loss(self, output, y):
        return F.mse_loss(output, y) + l2(1e-2, kernels(self))


class Positions(nn.Module):
    def __init__(self, positions, features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(positions, features))

    def forward(self, x):
        return x + self.weight


class Words(Model):
    """Tokens that repeat, beside numbers and a token for each sample; attention; a penalty that reaches both tables of tokens."""

    def __init__(self):
        linears = {name: nn.Linear(8, 8, bias=name != "k") for name in ("q", "k", "v", "o")}
        super().__init__(
            tok=nn.Embedding(11, 8),
            pos=Positions(6, 8),
            norm=nn.LayerNorm(8),
            **linears,
            fc=nn.Linear(48, 7),
            who=nn.Embedding(4, 7),
            head=nn.Linear(14, 3),
        )

    inputs = {"x": (5, 6, 8)}
    tokens = {"ids": (11, (5, 6)), "kind": (4, (5,))}
    classes = {"y": (3, (5,))}

    def forward(self, x, ids, kind):
        def split(x):
            return x.view(x.shape[0], x.shape[1], 2, -1).transpose(1, 2)

        h = self.pos(self.tok(ids) + x)
        z = self.norm(h)
        q, k, v = (split(layer(z)) for layer in (self.q, self.k, self.v))
        shares = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        h = h + self.o((shares @ v).transpose(1, 2).flatten(2))
        return self.head(torch.cat([self.fc(h.flatten(1)), self.who(kind)], dim=1))

    def loss(self, output, y):
        return F.cross_entropy(output, y) + l2(3e-2, kernels(self))
class Factors(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))


class Branches(Model):
    """Two branches that end in factors: of the channels of a map, and of the features of a sequence."""

    def __init__(self):
        super().__init__(
            r=Model(conv=nn.Conv2d(4, 4, 3, padding=1), c=Factors(4)),
            s=Model(fc=nn.Linear(3, 3), t=Factors(3)),
            out=nn.Linear(24, 3),
        )

    inputs = {"image": (3, 4, 2, 3)}
    targets = {"y": (3, 3)}

    def forward(self, image):
        h = image + F.gelu(self.r.conv(image)) * self.r.c.gamma.view(1, 4, 1, 1)
        h = h.reshape(3, 8, 3)
        h = h + torch.tanh(self.s.fc(h)) * self.s.t.gamma
        return self.out(h.flatten(1))

    def loss(self, output, y):
        return F.mse_loss(output, y) + l2(1e-2, kernels(self))


class Tied(Model):
    """A convolution and its transpose with one kernel, and one matrix in three places."""

    def __init__(self):
        conv, fc = nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Linear(5, 5)
        super().__init__(conv=conv, up=Bias(2), flat=nn.Linear(60, 5), fc=fc, again=Bias(5), out=nn.Linear(5, 3))

    inputs = {"image": (4, 2, 5, 6)}
    targets = {"y": (4, 3)}

    def forward(self, image):
        h = torch.tanh(self.conv(image))
        kernel = self.conv.weight
        h = F.conv_transpose2d(h, kernel, self.up.bias, stride=2, padding=1, output_padding=(0, 1))
        h = torch.tanh(self.flat(F.gelu(h).flatten(1)))
        h = F.silu(self.fc(h))
        h = torch.tanh(F.linear(h, self.fc.weight, self.again.bias))
        return self.out(F.linear(h, self.fc.weight))

    def loss(self, output, y):
        return F.mse_loss(output, y) + l2(3e-2, kernels(self)) + l1(1e-3, everything(self))


MODELS = {
    "mlp": Mlp,
    "cnn_train": CnnTrain,
    "cnn_eval": CnnEval,
    "residual": Residual,
    "depthwise": Depthwise,
    "smooth": Smooth,
    "gated": Gated,
    "robust": Robust,
    "binary": Binary,
    "pieces": Pieces,
    "unet": Unet,
    "tokens": Tokens,
    "transformer": Transformer,
    "words": Words,
    "tied": Tied,
    "branches": Branches,
}


def randomise(model):
    """Weights of a useful scale, factors around 1, and variances above 0."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.dim() == 1:
                tensor.normal_(0.0, 0.3)
                if isinstance_norm(model, name) and name.endswith("weight"):
                    tensor.add_(1.0)
            else:
                tensor.normal_(0.0, (1.5 / tensor[0].numel()) ** 0.5)


def isinstance_norm(model, name):
    module = model
    for part in name.split(".")[:-1]:
        module = module._modules[part]
    return not isinstance(module, LAYERS)


def generate(name, kind):
    torch.manual_seed(sum(name.encode()))
    model = kind().double()
    randomise(model)
    model.train(not name.endswith("_eval"))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    scale = getattr(kind, "scale", 1.0)
    inputs = {key: torch.randn(dims, dtype=torch.float64) * scale for key, dims in kind.inputs.items()}
    for key, (vocabulary, dims) in getattr(kind, "tokens", {}).items():
        inputs[key] = torch.randint(vocabulary, dims)
    targets = {key: torch.randn(dims, dtype=torch.float64) for key, dims in getattr(kind, "targets", {}).items()}
    for key, dims in getattr(kind, "units", {}).items():
        targets[key] = torch.rand(dims, dtype=torch.float64)
    for key, (classes, dims) in getattr(kind, "classes", {}).items():
        targets[key] = torch.randint(classes, dims)
    for tensor in inputs.values():
        tensor.requires_grad_(tensor.is_floating_point())
    output = model(*inputs.values())
    loss = model.loss(output, *targets.values())
    loss.backward()
    expected = {"loss": loss, "output": output}
    expected.update({"grad/" + key: value.grad for key, value in model.named_parameters()})
    expected.update({"grad_input/" + key: value.grad for key, value in inputs.items() if value.requires_grad})
    save(FOLDER / f"{name}.weights.safetensors", weights)
    save(FOLDER / f"{name}.input.safetensors", {**inputs, **targets})
    save(FOLDER / f"{name}.expected.safetensors", expected)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or MODELS:
        generate(name, MODELS[name])

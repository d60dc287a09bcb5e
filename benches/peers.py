"""The other side of the benchmarks: PyTorch's gradient check and numpy's matrix product, one thread each.

    python3 peers.py gradcheck FOLDER    a program for `wellposed gradcheck SPEC --against`: answers the request with PyTorch's loss
                                         and gradients, then runs torch.autograd.gradcheck in slow mode on every parameter at once and
                                         leaves its CPU seconds in FOLDER/peer.json
    python3 peers.py dgemm M,K,N ...     the rate of numpy's product of [M, K] and [K, N], in 10^9 operations a second, one a line

The models are those of `specs/bench`, written with torch.nn.functional. The check has the tolerances that are usual for f64:
eps 1e-6, atol 1e-5, rtol 1e-3.
"""

import json
import os
import struct
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

TYPES = {"F64": "<f8", "I64": "<i8"}
SECONDS = 1.0


def read(path):
    """The tensors of a safetensors file."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
    return tensors


def write(path, tensors):
    """Writes tensors as F64."""
    header, chunks, at = {}, [], 0
    for name, tensor in tensors.items():
        chunk = np.ascontiguousarray(tensor, "<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(np.shape(tensor)), "data_offsets": [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def loss_of(model, f, p, x, y):
    """The loss of one of the benchmark's models; `f` is torch.nn.functional."""
    dense = lambda z, name: f.linear(z, p[name + ".weight"], p.get(name + ".bias"))
    if model.startswith("mlp"):
        layers = [name[: -len(".weight")] for name in p if name.endswith(".weight")]
        act = f.relu if model in ("mlp_digits", "mlp_big") else lambda z: z.tanh()
        for name in layers[:-1]:
            x = act(dense(x, name))
        return f.cross_entropy(dense(x, layers[-1]), y)
    if model == "cnn_digits":
        for name in ("conv1", "conv2"):
            x = f.relu(f.conv2d(x, p[name + ".weight"], p[name + ".bias"], padding=1))
        return f.cross_entropy(dense(f.max_pool2d(x, 2).flatten(1), "fc"), y)
    if model == "tblock":
        batch, length, features = x.shape
        norm = lambda z, name: f.layer_norm(z, [features], p[name + ".weight"], p[name + ".bias"])
        heads = lambda z: z.reshape(batch, length, 4, features // 4).transpose(1, 2)
        z = norm(x, "attention.norm")
        q, k, v = (heads(dense(z, "attention." + name)) for name in "qkv")
        shares = ((q @ k.transpose(2, 3)) * (features // 4) ** -0.5).softmax(-1)
        x = x + dense((shares @ v).transpose(1, 2).reshape(batch, length, features), "attention.o")
        z = f.gelu(dense(norm(x, "feed.norm"), "feed.up"))
        return f.mse_loss(x + dense(z, "feed.down"), y)
    raise SystemExit(f"there is no model {model} here")


def gradcheck(folder):
    import torch

    torch.set_num_threads(1)
    with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
        request = json.load(file)
    directions = read(os.path.join(folder, request["directions"]))
    names, h = [entry["name"] for entry in request["parameters"]], request["step"]
    for point in request["points"]:
        weights, rows = read(os.path.join(folder, point["weights"])), read(os.path.join(folder, point["rows"]))
        params = tuple(torch.tensor(weights[name], requires_grad=True) for name in names)
        x, y = torch.tensor(rows["x"]), torch.tensor(rows["y"])
        loss = lambda *tensors: loss_of(request["model"], torch.nn.functional, dict(zip(names, tensors)), x, y)
        value = loss(*params)
        answer = {"loss": value.detach().numpy()}
        for i, (name, grad) in enumerate(zip(names, torch.autograd.grad(value, params))):
            beside = lambda s, v: loss(*params[:i], params[i] + s * torch.tensor(v), *params[i + 1 :]).item()
            answer["grad/" + name] = grad.numpy()
            answer["losses/" + name] = [
                [beside(s, v) for s in (h, -h, 2 * h, -2 * h)] for v in directions["direction/" + name]
            ]
        write(os.path.join(folder, point["answer"]), answer)
    start = time.process_time()
    passed = torch.autograd.gradcheck(loss, params, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=False)
    seconds = time.process_time() - start
    with open(os.path.join(folder, "peer.json"), "w", encoding="utf-8") as file:
        json.dump({"torch": torch.__version__, "cpu_seconds": seconds, "passed": bool(passed)}, file)


def dgemm(sizes):
    for size in sizes:
        m, k, n = map(int, size.split(","))
        a, b, c = np.random.rand(m, k), np.random.rand(k, n), np.empty((m, n))
        np.dot(a, b, out=c)
        start, runs = time.process_time(), 0
        while time.process_time() - start < SECONDS:
            np.dot(a, b, out=c)
            runs += 1
        print(2e-9 * m * k * n * runs / (time.process_time() - start))


if __name__ == "__main__":
    if sys.argv[1:2] == ["gradcheck"]:
        gradcheck(sys.argv[-1])
    elif sys.argv[1:2] == ["dgemm"]:
        dgemm(sys.argv[2:])
    else:
        raise SystemExit(__doc__)

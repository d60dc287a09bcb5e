"""The model of model.nn in plain numpy, as a program for `wellposed gradcheck model.nn --against`.

    python3 numpy_model.py [--bug NAME] FOLDER

The bugs: transposed (fc1's gradient, laid out as [in, out]), l2 (missing in the reverse pass), mean (not divided by the number of rows),
mask (dropout forgotten in the reverse pass), forward (the penalty is missing in both passes).
"""

import json
import os
import struct
import sys

import numpy as np

TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}


def read(path):
    """The tensors of a safetensors file: the length of a JSON header, the header, the numbers."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
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


def forward(w, x, y, mask, penalties, bug):
    """The loss and what the reverse pass needs."""
    z = x @ w["fc1.weight"].T + w["fc1.bias"]
    h = np.maximum(z, 0.0) * mask
    logits = h @ w["fc2.weight"].T + w["fc2.bias"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(y)), y].mean()
    if bug != "forward":
        loss += sum(factor / 2 * (w[name] ** 2).sum() for name, factor in penalties)
    return loss, (z, h, log_p)


def backward(w, x, y, mask, penalties, bug):
    """The gradients by parameters and input."""
    _, (z, h, log_p) = forward(w, x, y, mask, penalties, bug)
    d = np.exp(log_p)
    d[np.arange(len(y)), y] -= 1.0
    if bug != "mean":
        d /= len(y)
    grads = {"fc2.weight": d.T @ h, "fc2.bias": d.sum(axis=0)}
    d = d @ w["fc2.weight"] * (z > 0)
    if bug != "mask":
        d = d * mask
    grads |= {"fc1.weight": d.T @ x, "fc1.bias": d.sum(axis=0)}
    if bug not in ("l2", "forward"):
        for name, factor in penalties:
            grads[name] = grads[name] + factor * w[name]
    if bug == "transposed":
        grads["fc1.weight"] = grads["fc1.weight"].T.reshape(grads["fc1.weight"].shape)
    return grads, d @ w["fc1.weight"]


def answer(folder, request, point, bug):
    """The answer of one point: loss, gradients, and the losses beside the point."""
    w, rows = read(os.path.join(folder, point["weights"])), read(os.path.join(folder, point["rows"]))
    masks = read(os.path.join(folder, point["masks"]))
    directions = read(os.path.join(folder, request["directions"]))
    penalties = [(entry["parameter"], entry["factor"]) for entry in request["penalties"]]
    x, y, mask = rows["x"], rows["y"], masks.get("mask/fc1.dropout", 1.0)
    h = request["step"]
    grads, input_grad = backward(w, x, y, mask, penalties, bug)
    tensors = {"loss": forward(w, x, y, mask, penalties, bug)[0], "grad_input/x": input_grad}
    tensors["losses_input/x"] = [
        [forward(w, x + s * v, y, mask, penalties, bug)[0] for s in (h, -h, 2 * h, -2 * h)]
        for v in directions["direction_input/x"]
    ]
    for name in (entry["name"] for entry in request["parameters"]):
        tensors["grad/" + name] = grads[name]
        tensors["losses/" + name] = [
            [forward({**w, name: w[name] + s * v}, x, y, mask, penalties, bug)[0] for s in (h, -h, 2 * h, -2 * h)]
            for v in directions["direction/" + name]
        ]
    write(os.path.join(folder, point["answer"]), tensors)


def main():
    arguments = sys.argv[1:]
    bug = arguments[arguments.index("--bug") + 1] if "--bug" in arguments else None
    folder = arguments[-1]
    with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
        request = json.load(file)
    for point in request["points"]:
        answer(folder, request, point, bug)


if __name__ == "__main__":
    main()

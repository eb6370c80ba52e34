#!/usr/bin/env python3
"""Trains the digits network and writes digits.safetensors, the payload of the `digits` workload.

    python3 -m pip install numpy
    python3 train.py            # writes digits.safetensors beside this file
    python3 train.py --check    # trains again and compares with the committed file

Deterministic to the bit, on any machine with IEEE 754 arithmetic: the random numbers come from
NumPy's RandomState, whose stream is frozen, and every number is made by one elementwise addition,
subtraction, multiplication, division or square root at a time, in a fixed order. So no BLAS (its
order of summation depends on the CPU) and no exp (its last bit does): the loss is the squared
hinge, one digit against the rest. The matrix product below is the GPU's, product and sum each
rounded, k ascending, so the digest printed at the end must be the GPU's too.
"""

import gzip
import hashlib
import json
import pathlib
import struct
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data" / "digits.csv.gz"
OUTPUT = HERE / "digits.safetensors"

SEED = 1998  # the year of the data set
TEST_EVERY = 4  # every fourth image is for testing, the others for training; see README.md
PIXELS, HIDDEN, CLASSES = 64, 32, 10
EPOCHS, BATCH = 120, 32
LEARNING_RATE = np.float32(2e-3)
WEIGHT_DECAY = np.float32(1e-4)


def load():
    """The images, scaled to 0..1, and their labels, in the order of the file."""
    with gzip.open(DATA, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    images = table[:, :PIXELS].astype(np.float32) / np.float32(16)
    return images, table[:, PIXELS].astype(np.uint32)


def matmul(a, b):
    """The GPU's matrix product: f32, k ascending, each product and each sum rounded."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c += a[:, k, None] * b[None, k, :]
    return c


def column_sums(a):
    """The sums of the columns, rows ascending."""
    total = np.zeros(a.shape[1], np.float32)
    for row in a:
        total += row
    return total


def forward(network, images):
    """Hidden layer and logits of a batch."""
    w1, b1, w2, b2 = network
    hidden = np.maximum(matmul(images, w1) + b1, np.float32(0))
    return hidden, matmul(hidden, w2) + b2


def gradients(network, images, signs):
    """Gradients of the mean squared hinge loss; `signs` is +1 for the digit, -1 elsewhere."""
    w1, _, w2, _ = network
    hidden, logits = forward(network, images)
    slack = np.maximum(np.float32(1) - signs * logits, np.float32(0))
    d_logits = -signs * slack / np.float32(len(images))
    d_hidden = matmul(d_logits, w2.T) * (hidden > 0)
    return [
        matmul(images.T, d_hidden) + WEIGHT_DECAY * w1,
        column_sums(d_hidden),
        matmul(hidden.T, d_logits) + WEIGHT_DECAY * w2,
        column_sums(d_logits),
    ]


def train(images, labels):
    """The trained network, as [w1, b1, w2, b2]; Adam with a linearly falling learning rate."""
    random = np.random.RandomState(SEED)

    def uniform(rows, columns):
        bound = np.sqrt(np.float32(6) / np.float32(rows + columns))
        drawn = random.random_sample((rows, columns)).astype(np.float32)
        return (drawn * np.float32(2) - np.float32(1)) * bound

    network = [
        uniform(PIXELS, HIDDEN),
        np.zeros(HIDDEN, np.float32),
        uniform(HIDDEN, CLASSES),
        np.zeros(CLASSES, np.float32),
    ]
    signs = np.full((len(labels), CLASSES), -1, np.float32)
    signs[np.arange(len(labels)), labels] = 1

    beta1, beta2, epsilon = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    first = [np.zeros_like(parameter) for parameter in network]
    second = [np.zeros_like(parameter) for parameter in network]
    power1 = power2 = np.float32(1)
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * np.float32(EPOCHS - epoch) / np.float32(EPOCHS)
        order = random.permutation(len(images))
        for start in range(0, len(images), BATCH):
            batch = order[start : start + BATCH]
            power1, power2 = power1 * beta1, power2 * beta2
            steps = gradients(network, images[batch], signs[batch])
            for index, step in enumerate(steps):
                first[index] = beta1 * first[index] + (np.float32(1) - beta1) * step
                second[index] = beta2 * second[index] + (np.float32(1) - beta2) * step * step
                mean = first[index] / (np.float32(1) - power1)
                spread = np.sqrt(second[index] / (np.float32(1) - power2)) + epsilon
                network[index] = network[index] - rate * mean / spread
    return network


def safetensors(tensors):
    """The tensors in the safetensors format, in the order given: little-endian, contiguous."""
    names = {np.dtype("float32"): "F32", np.dtype("uint32"): "U32"}
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def main():
    images, labels = load()
    is_test = np.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1
    network = train(images[~is_test], labels[~is_test])
    test_images, test_labels = images[is_test], labels[is_test]
    _, logits = forward(network, test_images)
    accuracy = (logits.argmax(axis=1) == test_labels).mean()
    print(f"accuracy on {len(test_labels)} test images: {accuracy:.4f}")
    print(f"outputs sha384: {hashlib.sha384(logits.astype('<f4').tobytes()).hexdigest()}")

    w1, b1, w2, b2 = network
    payload = safetensors(
        {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "images": test_images, "labels": test_labels}
    )
    print(f"file sha384: {hashlib.sha384(payload).hexdigest()}")
    if "--check" in sys.argv[1:]:
        same = OUTPUT.read_bytes() == payload
        print("the committed file is reproduced" if same else "the committed file DIFFERS")
        return 0 if same else 1
    OUTPUT.write_bytes(payload)
    return 0


if __name__ == "__main__":
    sys.exit(main())

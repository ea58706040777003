#!/usr/bin/env python3
"""Writes docs/how-to/will-my-network-run.md from the tables of the exporter.

python scripts/will_it_run.py            prints the page
python scripts/will_it_run.py --into docs/how-to/will-my-network-run.md
"""

import argparse
from pathlib import Path

from pi_system.export.leaves import LEAVES
from pi_system.export.ops import APPROXIMATED, REFUSALS, RULES

TEXT = """# Will my network run?

Made by `scripts/will_it_run.py` from the tables of `pi_system/export/ops`; a test holds it.

A network runs if, in evaluation mode, all that it does to a picture is linear, or is made of ReLUs, maxima, squares
and products of two values. Export runs the module once on zeros and writes down torch's operations, so its Python may
do what it likes with shapes, flags and its own weights: pruned, normalised or generated weights are computed. The
exported graph is compared with the module on calibration pictures.

- Moving (views, slices, padding, shuffles, nearest upsampling), signs and shifts by constants: free, nothing is sent.
- Convolutions of any kind (1-D, dilated, grouped, transposed), linear layers, bilinear upsampling: layers with
  weights; batch normalisation, scales and constants merge into them.
- ReLU: one comparison a position. ReLU6, Hardtanh, clamp with two bounds, LeakyReLU, PReLU and abs: two. Hardswish:
  two, and a square. Maximum and minimum of two values: one. A max-pool: one for each element of a window but the first.
- A product of two values (squeeze-and-excitation, gates) is two squares a position, exact on real numbers; products of
  matrices, as in attention, are refused.
- GELU, SiLU and other smooth functions, a sigmoid inside among them, become sums of ReLUs with `--approximate ERROR`
  (`approximate=` in Python): so many straight pieces that each function is met to ERROR on the calibrated range and a
  quarter of it beyond, and where it becomes a line everywhere (0.01: about ten ReLUs a position for SiLU). The export
  and the artifact state the error of the functions, and what it does to outputs and labels.
- Softmax, log-softmax and sigmoid at the very end are left out: they change no label. An answer's scores
  are the softmax of the logits; apply another function to the logits (export says where another than a softmax is
  left out).
- Several outputs and maps become one vector of logits, in the order they are returned.
- Anything else that is linear in at most 1,024 values is probed and becomes a matrix.

Accuracy: `pi-train export` prints the largest error of a logit as a share of the logits' spread, the share of labels
kept, both of the output where they are worst, and the backends that run the model.

## Operations with a rule

{rules}

Modules of this project's own training: {leaves}.

## Operations that `--approximate` replaces

{approximated}

## Operations that are refused, and what to do

| operation of torch | why, and what instead |
|---|---|
{refusals}
"""


def document() -> str:
    """The page."""
    refusals = "\n".join(f"| `{name}` | {text} |" for name, text in sorted(REFUSALS.items()))
    rules = ", ".join(f"`{name}`" for name in sorted(RULES))
    leaves = ", ".join(f"`{kind.__name__}`" for kind in LEAVES)
    approximated = ", ".join(f"`{name}`" for name in sorted(APPROXIMATED))
    return TEXT.format(rules=rules, approximated=approximated, leaves=leaves, refusals=refusals)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path)
    into = parser.parse_args().into
    if into is None:
        print(document())
    else:
        into.write_text(document())


if __name__ == "__main__":
    main()

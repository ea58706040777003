"""Fixed-point parameters of an exported network: chosen at export, checked here, compared by both parties.

A real number v is the integer round(v * 2^frac_bits) in Z_{2^l}, l = ``ring_bits``. Every node's output has its own
fraction bits; a weighted layer adds those of its weights, a square doubles them, a ReLU (or a truncation) drops the
surplus.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from pi_system.artifact.graph import Node, Square

_Bits = Annotated[int, Field(ge=0, le=63)]
_SCORE_BITS: Final = 10
"""Bits of a score with its sign where an artifact does not say. More: closer to the fixed-point noise of a logit;
fewer: more classes share the best score."""


class RingConfig(BaseModel):
    """Ring and fraction bits of every value.

    Attributes:
        ring_bits: l, 8..64; carriers are uint32 up to 32 and uint64 above.
        frac_bits: fraction bits of every node's output, by node name.
        weight_frac_bits: fraction bits of every weighted node's weights (and of the reciprocal an average pool
            multiplies by when its window is no power of two), by node name.
        comparison_bits: k of every ReLU and max-pool, by node name: what it compares (a ReLU's input, the difference
            of two entries of a max-pool's window) satisfies |x| < 2^(k-1) at the input's fraction bits, and
            |x| < 2^(k-1) - 2^t for a ReLU that drops t of them. A square has
            one, too: what it squares satisfies the same, and 2k - 1 <= ring_bits.
        compare_bits: n of those ReLUs and max-pools whose comparison shall not see all K = k - t bits that are left
            after truncation, 2..K, by node name; absent means K. The sign is then random where |x| < 2^(k-n-1), and the
            bound above is 2^(k-1) - 2^(k-n). Backends that compare shares (``gmw``, ``gc``, ``crypten``) see all bits.
        logit_bits: bits of a logit with its sign, |logit| < 2^(logit_bits - 1) at the output's fraction bits, less than
            ring_bits: what label and scores start from.
        score_step_log2: scores are logits rounded to multiples of 2^score_step_log2; see ``score_step``. None, as in
            artifacts from before there were scores, for a step that leaves ten bits of the logits' range.
        weight_norm_bits: base-2 logarithm, rounded up, of the largest Euclidean norm of the integer weights that one
            output of a weighted layer reads. Public, one number a model: it sizes the ciphertexts of backends
            without a dealer. None for what 16-bit weights can reach at most.
        overflow_log2: base-2 logarithm of the stated bound on the probability that any value of one inference
            leaves its range (calibration tail estimate), and
        truncation_log2: of the bound on the probability that any truncation without a gate fails in one inference
            (protocols/truncation: the sum over elements of (|y| + 2^t) / 2^l, by the calibration pictures with the
            room that ranges have); none truncated is stored as -1000.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ring_bits: Annotated[int, Field(ge=8, le=64)]
    frac_bits: dict[str, _Bits]
    weight_frac_bits: dict[str, _Bits]
    comparison_bits: dict[str, _Bits]
    compare_bits: dict[str, _Bits] = Field(default_factory=dict)
    logit_bits: Annotated[int, Field(ge=2, le=63)]
    weight_norm_bits: Annotated[int, Field(ge=1, le=40)] | None = None
    score_step_log2: Annotated[int, Field(ge=-63, le=63)] | None = None
    overflow_log2: float = 0.0
    truncation_log2: float = -1000.0

    def shift(self, node: Node) -> int:
        """Fraction bits that ``node`` drops of its first input; negative where it adds some."""
        return self.frac_bits[node.inputs[0]] - self.frac_bits[node.name]

    def unseen_bits(self, node: Node) -> int:
        """g = K - n of a ReLU or max-pool."""
        return self.comparison_bits[node.name] - self.shift(node) - self.compared_bits(node)

    def compared_bits(self, node: Node) -> int:
        """n of a ReLU or max-pool."""
        return self.compare_bits.get(node.name, self.comparison_bits[node.name] - self.shift(node))

    def limit(self, node: Node) -> int:
        """What |x| stays below for what a ReLU, max-pool or square takes; see ``comparison_bits``, ``compare_bits``."""
        bits = self.comparison_bits[node.name]
        unknown = 0 if isinstance(node, Square) else self.shift(node) + self.unseen_bits(node)
        return (1 << (bits - 1)) - (1 << unknown if unknown else 0)

    def alignments(self, node: Node) -> list[int]:
        """For each input of ``node`` the bits that it is shifted up by, to the scale of the output."""
        return [self.frac_bits[node.name] - self.frac_bits[name] for name in node.inputs]

    def window(self, node: Node) -> float:
        """Where the sign is random, as a real number w: |x| < w / 2; 0 where all bits are compared."""
        unseen = self.unseen_bits(node)
        return 2.0 ** (unseen - self.frac_bits[node.name]) if unseen else 0.0

    def score_step(self, output: str) -> int:
        """Base-2 logarithm of the step of scores; ``output`` names the output node."""
        if self.score_step_log2 is not None:
            return self.score_step_log2
        return max(1, self.logit_bits - _SCORE_BITS) - self.frac_bits[output]

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An artifact without a field keeps the digest it was written with, and older readers take it."""
        content: dict[str, Any] = handler(self)
        if not self.compare_bits:
            del content["compare_bits"]
        if self.score_step_log2 is None:
            del content["score_step_log2"]
        return content

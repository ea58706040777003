"""What to do instead of an operation that is not supported."""

from typing import Final

__all__ = ["PRODUCT", "REFUSALS", "STRAIGHT", "refusal"]

PRODUCT: Final = (
    "expected no matrix product of two values that depend on the picture (attention); train without it, or with a "
    "constant in its place"
)
STRAIGHT: Final = (
    "--approximate (approximate= in Python), which puts straight pieces in its place and states their error; or train "
    "or fine-tune with a ReLU or what ReLUs are made of (ReLU6, Hardtanh, Hardswish, LeakyReLU, PReLU, clamp)"
)
_SMOOTH: Final = (
    "expected a ReLU or what ReLUs are made of (ReLU6, Hardtanh, Hardswish, LeakyReLU, PReLU, clamp); train or "
    "fine-tune with one"
)
_NORM: Final = (
    "expected batch normalisation, which is constant in evaluation; {} by the picture's own variance: train or "
    "fine-tune with BatchNorm"
)
_VALUE: Final = (
    "expected code that asks for no value of the picture (`if`, .item()): all must take one way; write that one"
)
_COMPARED: Final = "expected no comparison but ReLU, clamp, maximum and minimum; write it with them"
_ROOT: Final = "expected no root or variance of what depends on the picture; use batch normalisation, or a constant"
_ORDER: Final = "expected no sorting or choice of elements; the label is found by the protocol, return the scores"
_RECURRENT: Final = "expected no recurrent layer, whose gates multiply step after step; use 1-D convolutions"
_RANDOM: Final = "expected nothing drawn at random; leave noise out in evaluation (if self.training: ...)"
_FOURIER: Final = (
    "expected real values; use a linear layer whose weight is the matrix of the transform, cosines or sines"
)
_BILINEAR: Final = (
    "expected no product of two values by a weight; train with the product of what two linear layers give, a * b"
)
_UNKNOWN: Final = (
    "expected an operation that is linear, or made of ReLUs and maxima; see docs/how-to/will-my-network-run.md"
)

_ATTENTION: Final = (
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math scaled_dot_product_attention "
    "_fused_sdp_choice _native_multi_head_attention _transformer_encoder_layer_fwd"
)

REFUSALS: Final[dict[str, str]] = {
    **dict.fromkeys("gelu silu mish tanh elu celu selu softplus erf atan glu".split(), f"expected {STRAIGHT}"),
    **dict.fromkeys("exp log log1p expm1 sin cos hardshrink".split(), _SMOOTH),
    "native_group_norm": _NORM.format("GroupNorm and InstanceNorm divide"),
    **dict.fromkeys(["native_layer_norm", "_fused_rms_norm"], _NORM.format("LayerNorm and RMSNorm divide")),
    **dict.fromkeys("_local_scalar_dense is_nonzero equal nonzero any all item".split(), _VALUE),
    **dict.fromkeys("gt lt ge le eq ne sign heaviside bucketize round floor ceil trunc".split(), _COMPARED),
    **dict.fromkeys(
        "sqrt rsqrt reciprocal var std var_mean std_mean linalg_vector_norm norm cdist _euclidean_dist".split(), _ROOT
    ),
    **dict.fromkeys("topk sort argsort argmax argmin kthvalue median".split(), _ORDER),
    **dict.fromkeys(
        "lstm gru rnn_tanh rnn_relu mkldnn_rnn_layer _thnn_fused_lstm_cell _thnn_fused_gru_cell".split(), _RECURRENT
    ),
    **dict.fromkeys("rand_like randn_like randint_like".split(), _RANDOM),
    **dict.fromkeys("_fft_r2c _fft_c2c _fft_c2r".split(), _FOURIER),
    "_trilinear": _BILINEAR,
    **dict.fromkeys(_ATTENTION.split(), PRODUCT),
}
"""What to do instead, by operation."""


def refusal(op: str) -> str:
    """What to say of an operation without a rule."""
    return f"{op}: {REFUSALS.get(op, _UNKNOWN)}"

"""Backend ``fss``: one round trip a ReLU by function secret sharing; correlations from a dealer."""

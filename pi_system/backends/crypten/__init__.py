"""Backend ``crypten``: CrypTen's own protocols, the baseline; the only package that imports CrypTen."""

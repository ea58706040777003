"""The report: one page and docs/findings.md, made from the JSON of benchmarks/results."""

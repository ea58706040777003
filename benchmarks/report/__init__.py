"""The report: one page and docs/explanation/findings.md, made from the JSON of benchmarks/results."""

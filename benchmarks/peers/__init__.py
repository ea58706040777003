"""Other systems on the same networks, beside ours; README.md says how they are kept comparable."""

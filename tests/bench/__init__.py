"""How fast it is, as ratios inside one run: `make bench` measures, and writes `docs/benchmarks.md`.

A ratio compares two ways of doing the same work, run in turns (A, B, A, B, …) on the same machine within minutes. It
survives a noisy neighbour, an absolute figure does not. Nothing here is asserted by a test.
"""

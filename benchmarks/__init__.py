"""Speed and memory against peers: `python -m benchmarks.run`; see `benchmarks/README.md`."""

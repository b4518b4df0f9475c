"""Measures the testbed beside other servers. Run as `python -m benchmarks`, or `make bench`; see docs/benchmarks.md."""

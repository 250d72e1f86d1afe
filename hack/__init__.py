"""Tools of the repository: the local cluster, the demo, the test runner."""

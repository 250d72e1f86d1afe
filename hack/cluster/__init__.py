"""The local real Kubernetes cluster: built, started, inspected and removed by `python -m hack.cluster`."""

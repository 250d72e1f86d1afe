from tests.support.cluster import api_server, cluster, namespace

__all__ = ["api_server", "cluster", "namespace"]

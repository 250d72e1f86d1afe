from tests.support.flights import features

__all__ = ["features"]

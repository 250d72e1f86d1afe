"""KServe's Python server with its scikit-learn server's predict. Arguments: model file, port, model name."""

import sys
from typing import Any

import joblib
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class SklearnModel(Model):
    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self._model = joblib.load(file)
        self.ready = True

    def predict(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        return get_predict_response(payload, self._model.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    model_file, http_port, model_name = sys.argv[1:]
    server = ModelServer(http_port=int(http_port), workers=1, enable_grpc=False, access_log_format=None)
    server.start([SklearnModel(model_name, model_file)])

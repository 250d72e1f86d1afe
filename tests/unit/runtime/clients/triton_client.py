"""Asks a server with NVIDIA's tritonclient; prints what came back as JSON. Argument: host:port."""

import json
import sys

import numpy as np
import tritonclient.http as triton

MODEL = "flight-delay"
ROWS = {
    "carrier": ("BYTES", np.array([["AA"], ["BB"]], dtype=object)),
    "distance": ("FP64", np.array([[700.5], [2100.0]])),
    "hour": ("INT64", np.array([[18], [3]])),
}


def inputs(*, binary: bool) -> list[triton.InferInput]:
    tensors = []
    for name, (datatype, array) in ROWS.items():
        tensor = triton.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        tensors.append(tensor)
    return tensors


def values(result: triton.InferResult) -> dict[str, list[object]]:
    names = [output["name"] for output in result.get_response()["outputs"]]
    return {name: result.as_numpy(name).tolist() for name in names}


def main() -> None:
    client = triton.InferenceServerClient(sys.argv[1])
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=True),
        triton.InferRequestedOutput("label", binary_data=False),
    ]
    try:
        client.infer(MODEL, inputs(binary=True)[:1])
        refused = ""
    except triton.InferenceServerException as error:
        refused = error.message()
    print(
        json.dumps(
            {
                "ready": [client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)],
                "extensions": client.get_server_metadata()["extensions"],
                "inputs": client.get_model_metadata(MODEL)["inputs"],
                "binary both ways": values(client.infer(MODEL, inputs(binary=True))),
                "binary input": values(client.infer(MODEL, inputs(binary=True), outputs=outputs[1:])),
                "binary output": values(client.infer(MODEL, inputs(binary=False))),
                "mixed": values(client.infer(MODEL, inputs(binary=True), outputs=outputs, request_id="mine")),
                "refused": refused,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Asks a server with KServe's InferenceRESTClient; prints what came back as JSON. Argument: host:port."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import InferResponse, RequestedOutput

MODEL = "flight-delay"
ROWS = {
    "carrier": ("BYTES", np.array([["AA"], ["BB"]], dtype=object)),
    "distance": ("FP64", np.array([[700.5], [2100.0]])),
    "hour": ("INT64", np.array([[18], [3]])),
}


def request(*, binary: bool, answer_binary: bool, outputs: list[RequestedOutput] | None = None) -> InferRequest:
    tensors = []
    for name, (datatype, array) in ROWS.items():
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        tensors.append(tensor)
    parameters = {"binary_data_output": True} if answer_binary else {}
    return InferRequest(MODEL, tensors, request_id="mine", parameters=parameters, request_outputs=outputs)


def values(response: InferResponse) -> dict[str, list[object]]:
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def main() -> None:
    url = f"http://{sys.argv[1]}"
    mixed = [
        RequestedOutput("probabilities", {"binary_data": True}),
        RequestedOutput("label", {"binary_data": False}),
    ]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:

        async def ask(**form: object) -> dict[str, list[object]]:
            return values(await client.infer(url, request(**form), MODEL))

        print(
            json.dumps(
                {
                    "ready": [
                        await client.is_server_live(url),
                        await client.is_server_ready(url),
                        await client.is_model_ready(url, MODEL),
                    ],
                    "plain": await ask(binary=False, answer_binary=False),
                    "binary both ways": await ask(binary=True, answer_binary=True),
                    "binary input": await ask(binary=True, answer_binary=False),
                    "binary output": await ask(binary=False, answer_binary=True),
                    "mixed": await ask(binary=True, answer_binary=False, outputs=mixed),
                }
            )
        )


if __name__ == "__main__":
    asyncio.run(main())

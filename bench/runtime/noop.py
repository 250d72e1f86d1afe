"""What uvicorn costs by itself: reads the body, answers a fixed inference. Argument: port."""

import sys
from typing import Any

import uvicorn

_BODY = (
    b'{"id":"1","model_name":"delay","model_version":"1",'
    b'"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}'
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
    )

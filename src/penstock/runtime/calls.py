"""An inference as the engine sees it, whatever wire format it came in."""

from dataclasses import dataclass

from penstock.runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One tensor of a request, as declared by the client and not yet compared with the model."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its id if it has one, its tensors, and the outputs it asks for (None: all)."""

    identifier: str | None
    inputs: list[InputTensor]
    outputs: list[str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said: the inputs it saw and its outputs, in the model's order."""

    model_name: str
    model_version: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]

"""An inference as the engine sees it, whatever wire format it came in."""

from dataclasses import dataclass, field

from penstock.runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One tensor of a request, as declared by the client and not yet compared with the model."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True, slots=True)
class Form:
    """How the outputs are to be sent: `binary` says it for those that `by_output` does not name."""

    binary: bool = False
    by_output: dict[str, bool] = field(default_factory=dict)

    def is_binary(self, output: str) -> bool:
        """Whether this output is wanted as bytes after the JSON."""
        return self.by_output.get(output, self.binary)


JSON_FORM = Form()


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its id if it has one, its tensors, the outputs it asks for (None: all) and their form."""

    identifier: str | None
    inputs: list[InputTensor]
    outputs: list[str] | None
    form: Form = JSON_FORM


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said: the inputs it saw and its outputs, in the model's order."""

    model_name: str
    model_version: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer's body; `json_size` is the length of its JSON part, None if there is nothing after it."""

    body: bytes
    json_size: int | None = None

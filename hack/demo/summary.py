"""What the demo prints at its end: the Model, ten flights, and what to try next."""

from typing import Any

from hack.cluster.handle import Cluster
from hack.demo.model import NAME, NAMESPACE, folder

ROWS = 10
_HEADINGS = ("flight", "leaves at", "minutes behind", "P(late)", "scikit-learn", "was > 30 min late")

Json = dict[str, Any]


def summary(cluster: Cluster, model: Json, rows: Json, probabilities: list[float]) -> str:
    """The whole of it as text."""
    status = model["status"]
    facts = [
        ("Model", f"{NAMESPACE}/{NAME} ({model['spec']['artifact']['format']})"),
        ("revision", status["stable"]["revision"]),
        ("URL", status["url"]),
    ]
    lines = [f"{name:10}{value}" for name, value in facts]
    lines += ["", *table(_HEADINGS, flights(rows, probabilities, ROWS)), "", "Try next:"]
    lines += [f"  {line}" for line in commands(cluster, status["url"])]
    return "\n".join(lines)


def flights(rows: Json, probabilities: list[float], count: int) -> list[tuple[str, ...]]:
    """The first flights: what was known at the gate, what was predicted, what came of it."""
    known = rows["features"]
    found: list[tuple[str, ...]] = []
    for row in range(count):
        found.append(
            (
                f"{known['carrier'][row]} {known['origin'][row]}-{known['dest'][row]}",
                f"{known['hour'][row]:.0f} h",
                f"{known['dep_delay'][row]:+.0f}",
                f"{probabilities[row]:.4f}",
                f"{rows['logistic'][row]:.4f}",
                "yes" if rows["late"][row] else "no",
            )
        )
    return found


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with columns as wide as their widest cell; all but the outer columns are aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    outer = (0, len(headings) - 1)
    return [
        "  ".join(
            cell.ljust(width) if place in outer else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (headings, *rows)
    ]


def commands(cluster: Cluster, url: str) -> list[str]:
    """What to type next; the first line makes the rest find the local cluster."""
    environment = f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.kubectl_command.parent}:$PATH"
    tried = [
        ("what there is", "kubectl get models -A"),
        ("one flight", f"curl -s {infer_url(url)} -d @{folder() / 'request.json'}"),
        (
            "the second revision, boosted trees instead of the regression; Ctrl-C ends the watching",
            f"kubectl apply -f {folder() / 'boosted.yaml'} && kubectl -n {NAMESPACE} get model {NAME} --watch",
        ),
    ]
    lines = [] if cluster.provider == "existing" else [environment]
    for meaning, command in tried:
        lines += [f"# {meaning}", command]
    return lines


def infer_url(url: str) -> str:
    """Where the Model at `url` takes requests."""
    return f"{url}/v2/models/{NAME}/infer"

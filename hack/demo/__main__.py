"""`python -m hack.demo`: cluster, operator, two trained models, one of them serving real flights through Envoy."""

import argparse
import json
import sys

from hack.cluster import cluster as local
from hack.cluster import existing
from hack.cluster.console import ClusterError, Stopwatch, say
from hack.cluster.handle import Cluster
from hack.demo import model, predictions
from hack.demo.cleaning import clean
from hack.demo.stages import Stages, note
from hack.demo.summary import infer_url, summary
from hack.demo.training import trained
from hack.install import install


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code. Errors a user can act on are one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    parser.add_argument("--clean", action="store_true", help="remove what the demo put into the cluster")
    options = parser.parse_args(arguments)
    try:
        if options.clean:
            clean(running())
        else:
            demo()
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; go on with: make demo")
        return 130
    return 0


def demo() -> None:
    """Every stage, from nothing to the table at the end; what is there already is left as it is."""
    stages = Stages(total=6)
    with stages.stage("Starting the cluster"):
        cluster = _start()
    with stages.stage("Building Penstock's images and installing its Helm chart"):
        install(cluster)
    with stages.stage("Training two models on the flights that left New York in 2013"):
        models = trained()
    with stages.stage("Pushing both models into the registry"):
        manifests = {name: model.write_manifest(name, model.push(cluster, models / name)) for name in model.FORMATS}
    with stages.stage("Applying the Model and waiting until it serves"):
        model.apply(cluster, manifests["logistic"])
        served = model.wait_until_served(cluster)
    with stages.stage("Asking the Model about 1,000 real flights through Envoy"):
        rows = json.loads((models / "rows.json").read_text())
        metadata = models / "logistic" / "metadata.json"
        first = predictions.request(rows["features"], json.loads(metadata.read_text())["inputs"], 0, 1)
        (model.folder() / "request.json").write_text(json.dumps(first))
        answers = predictions.ask(infer_url(served["status"]["url"]), rows["features"], metadata)
        _judge(answers, rows["logistic"], served["status"]["stable"]["revision"])
    say("")
    print(summary(cluster, served, rows, answers.probabilities), flush=True)
    say(f"\nAll done in {stages.seconds():.1f} s; remove it again with: make demo-clean")


def running() -> Cluster:
    """The cluster that a demo was run in. Raises ClusterError if there is none."""
    if local.provider() == "existing":
        return existing.up(Stopwatch())
    found = local.current()
    if found is None:
        raise ClusterError("No cluster runs, so there is nothing to remove; start one with: make cluster-up")
    return found


def _start() -> Cluster:
    # Somebody else's cluster is not noted as the local one, which may run beside it.
    return existing.up(Stopwatch()) if local.provider() == "existing" else local.up()


def _judge(answers: predictions.Predictions, expected: list[float], revision: str) -> None:
    difference = predictions.largest_difference(answers.probabilities, expected)
    count = len(answers.probabilities)
    note(f"{count:,} rows in {answers.requests} requests; largest difference to scikit-learn: {difference:.1e}")
    if answers.revisions != {revision}:
        raise ClusterError(f"Revisions {sorted(answers.revisions)} answered instead of {revision} alone; run it again.")
    if difference > predictions.TOLERANCE:
        raise ClusterError(f"The Model differs from scikit-learn by more than {predictions.TOLERANCE}; report it.")


if __name__ == "__main__":
    sys.exit(main())

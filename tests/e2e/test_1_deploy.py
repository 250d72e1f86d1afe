"""A Model goes live, or says why it cannot."""

from tests.e2e.dsl import NAME
from tests.e2e.traffic import probabilities

WRONG_DIGEST = "sha256:" + "0" * 64


def test_a_first_deploy_serves_what_scikit_learn_says(given, then, world):
    given.model("logistic")

    then.predictions_equal("logistic")
    model = world.model(NAME)
    assert model["status"]["url"] == f"{world.cluster.gateway_url}/{world.namespace}/{NAME}"
    assert then.log_is_whole() == ["Start", "Promote", "Promoted"]


def test_a_model_is_reachable_inside_the_cluster(given, then, world):
    given.model("logistic")
    address = world.model(NAME)["status"]["address"]["url"]

    script = (
        f'wget -q -O - --header "Content-Type: application/json" --post-data "$INPUT" {address}/v2/models/{NAME}/infer'
    )
    answer = then.runs_in_cluster("/bin/sh", "-c", script, input=world.flights.bodies[0].decode())

    assert not world.flights.wrong("logistic", 0, probabilities(answer)[0])


def test_kubectl_shows_and_waits_for_a_model(given, when, then, world):
    when.spec_is("logistic")

    world.kubectl("wait", "--for=condition=Ready", f"model/{NAME}", "--timeout=90s")
    revision = then.serves("logistic")
    header, row = world.kubectl("get", "models").strip().splitlines()
    assert header.split() == ["NAME", "READY", "REVISION", "CANDIDATE", "REASON", "AGE"]
    assert row.split()[:4] == [NAME, "True", revision, "Serving"]
    wide = world.kubectl("get", "pmdl", "-o", "wide")
    assert world.model(NAME)["status"]["url"] in wide
    assert NAME in world.kubectl("get", "penstock")
    assert f"model.penstock.dev/{NAME} scaled" in world.kubectl("scale", "model", NAME, "--replicas=2")
    world.wait("two pods serve", lambda: len(then.pods(revision)) == 2 and world.model(NAME)["status"]["replicas"] == 2)


def test_pods_are_restricted_and_images_pinned(given, world):
    revision = given.model("logistic")

    (pod,) = world.children("Pod", NAME, revision)
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    assert [item["image"] for item in containers] == [world.images["runtime"]] * 2
    assert all("@sha256:" in item["image"] for item in containers)
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    for item in containers:
        assert item["securityContext"]["readOnlyRootFilesystem"] is True
        assert item["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_first_deploy_with_a_wrong_digest_stalls(when, then, world):
    when.spec_is({**world.flights.artifacts["logistic"], "uri": tagged(world), "digest": WRONG_DIGEST})

    message = then.condition("Ready", "False", "DigestMismatch")
    then.condition("Stalled", "True", "DigestMismatch")
    then.condition("Progressing", "False", "DigestMismatch")
    assert WRONG_DIGEST in message
    assert not world.children("HTTPRoute", NAME)
    assert not then.events("Promote")


def tagged(world) -> str:
    return world.flights.artifacts["logistic"]["uri"].split("@")[0]

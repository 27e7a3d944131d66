"""A tag is resolved once: all pods of a colour run the digest that its migration Job ran."""

import pytest
from cutover_walks import reconciled, upgraded
from cutover_world import World, installed
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.api.names import DIGEST
from rtx_operator.desired.image import resolved
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object, Observation

REPOSITORY = "example.com/rtx-engine"
OLD, NEW, MOVED = (f"sha256:{digit * 64}" for digit in "123")
IMAGES = {f"{REPOSITORY}:1.0.0": f"{REPOSITORY}@{OLD}", f"{REPOSITORY}:1.1.0": f"{REPOSITORY}@{NEW}"}


@pytest.fixture
def pinned() -> World:
    """A world whose nodes pull images from a registry."""
    return installed(**IMAGES)


def image_of(world: World, colour: str) -> str:
    (container,) = world.children["Deployment", f"rtx-engine-{colour}"]["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


# --- a cutover -------------------------------------------------------------------------------------------------------


def test_pods_run_the_digest_that_migrated_the_database(pinned: World) -> None:
    # Given an engine, which was installed by the digest of its tag
    assert image_of(pinned, "blue") == f"{REPOSITORY}:1.0.0@{OLD}"

    # When it is upgraded
    upgraded(pinned)

    # Then the new pods have a digest from the beginning, and status says so
    assert image_of(pinned, "green") == f"{REPOSITORY}:1.1.0@{NEW}"
    assert (pinned.active["digest"], pinned.active["image"]) == (NEW, f"{REPOSITORY}:1.1.0@{NEW}")


def test_tag_that_moves_changes_no_pod(pinned: World) -> None:
    # Given an upgraded engine whose tags lead elsewhere by now
    upgraded(pinned)
    pinned.image_ids = dict.fromkeys(IMAGES, f"{REPOSITORY}@{MOVED}")
    pods = {colour: pinned.colour_pods(colour) for colour in ("blue", "green")}

    # When the Jobs' pods are gone and more pods are needed
    for name in [name for name, pod in pinned.pods.items() if JOB_LABEL in pod["metadata"]["labels"]]:
        del pinned.pods[name]
    pinned.autoscale(4)
    reconciled(pinned, 5)

    # Then nothing was rolled, and the new ones run what the others run
    assert set(pods["green"]) < set(pinned.colour_pods("green"))
    assert pods["blue"] == pinned.colour_pods("blue")
    assert image_of(pinned, "green") == f"{REPOSITORY}:1.1.0@{NEW}"

    # And going back finds the old version by its digest
    pinned.set_spec(version="1.0.0")
    assert pinned.run_until(CutoverPhase.SUCCEEDED)
    assert pinned.active["digest"] == OLD
    assert set(pods["blue"]) <= set(pinned.colour_pods("blue"))


def test_retry_after_a_new_push_of_the_tag_runs_the_new_image(pinned: World) -> None:
    # Given a version that was rolled back, and pushed again under its tag
    pinned.faults.add("smoke:1.1.0")
    pinned.set_spec(version="1.1.0")
    assert pinned.run_until(CutoverPhase.ROLLED_BACK)
    pinned.faults.clear()
    pinned.image_ids[f"{REPOSITORY}:1.1.0"] = f"{REPOSITORY}@{MOVED}"

    # When it is retried
    pinned.retry()
    assert pinned.run_until(CutoverPhase.SUCCEEDED)

    # Then its pods run what is there now
    assert pinned.active["digest"] == MOVED


def test_lost_record_of_the_active_release_keeps_the_digest_that_status_has(pinned: World) -> None:
    upgraded(pinned)
    record = next(name for kind, name in pinned.children if kind == "ControllerRevision" and "green" in name)
    assert pinned.children["ControllerRevision", record]["metadata"]["annotations"] == {DIGEST: NEW}
    del pinned.children["ControllerRevision", record]

    reconciled(pinned, 3)

    assert image_of(pinned, "green") == f"{REPOSITORY}:1.1.0@{NEW}"
    assert pinned.children["ControllerRevision", record]["metadata"]["annotations"] == {DIGEST: NEW}


def test_images_that_were_loaded_onto_the_nodes_keep_their_tag(world: World) -> None:
    # Given nodes that report no digest that a registry knows, when the engine is upgraded
    upgraded(world)

    # Then its pods are made by tag, and status says so
    assert image_of(world, "green") == f"{REPOSITORY}:1.1.0"
    assert (world.active["image"], world.active.get("digest")) == (f"{REPOSITORY}:1.1.0", None)


def test_digest_is_not_lost_with_the_pod_of_a_job_that_has_ended(pinned: World) -> None:
    # Given a migration that runs, by the digest of its tag
    pinned.faults.add("jobs hang")
    pinned.set_spec(version="1.1.0")
    assert pinned.run_until(CutoverPhase.MIGRATING)
    pinned.reconcile()
    ((name, job),) = [
        (name, one) for (kind, name), one in pinned.children.items() if kind == "Job" and "1.1.0" in str(one)
    ]
    pinned._run_job_pod(name, job["spec"]["template"])
    pinned.pods[f"{name}-0"]["status"]["phase"] = "Running"
    pinned.reconcile()

    # When it ends, and its pod is gone with its node before anybody has looked
    pinned.faults.clear()
    pinned.tick()
    del pinned.pods[f"{name}-0"]

    assert pinned.run_until(CutoverPhase.SUCCEEDED)
    assert image_of(pinned, "green") == f"{REPOSITORY}:1.1.0@{NEW}"


def test_return_after_status_was_lost_replaces_no_pod_that_runs(pinned: World) -> None:
    # Given an upgraded engine whose previous release is kept, and whose tag leads elsewhere by now
    upgraded(pinned)
    kept = pinned.colour_pods("blue", ready=True)
    pinned.image_ids = dict.fromkeys(IMAGES, f"{REPOSITORY}@{MOVED}")

    # When status is lost, and the version set back
    pinned.lose_status()
    reconciled(pinned, 3)
    assert pinned.stored["previous"]["adopted"]
    pinned.set_spec(version="1.0.0")
    assert pinned.run_until(CutoverPhase.SUCCEEDED, 60)

    # Then the pods that ran all the time serve, and what they run has migrated
    assert image_of(pinned, "blue") == f"{REPOSITORY}:1.0.0@{OLD}"
    assert set(kept) <= set(pinned.colour_pods("blue"))
    images = {
        one["spec"]["template"]["spec"]["containers"][0]["image"]
        for (kind, _), one in pinned.children.items()
        if kind == "Job" and "expand" in str(one) and "1.0.0" in str(one)
    }
    assert images == {f"{REPOSITORY}:1.0.0@{OLD}"}


def test_installation_runs_the_image_that_migrated_and_not_one_whose_migration_failed() -> None:
    # Given a first installation whose build cannot migrate: its Job fails
    tag = f"{REPOSITORY}:1.0.0"
    world = World(image_ids={tag: f"{REPOSITORY}@{OLD}"})
    world.faults.add("migration:1.0.0")
    world.set_spec(
        version="1.0.0",
        image={"repository": REPOSITORY},
        credentialsSecretRef={"name": "mine"},
        scaling={"minReplicas": 2, "maxReplicas": 4},
        paused=False,
    )
    reconciled(world, 20)
    (job,) = [child for (kind, _), child in world.children.items() if kind == "Job"]

    # When the right build is pushed under the same tag, and the failed Job is deleted, as the message says
    world.faults.clear()
    world.image_ids[tag] = f"{REPOSITORY}@{NEW}"
    world.delete(job)
    reconciled(world, 30)

    assert image_of(world, "blue") == f"{tag}@{NEW}"
    assert world.active["digest"] == NEW


# --- what nodes report -----------------------------------------------------------------------------------------------


def job(image: str, policy: str = "IfNotPresent") -> Object:
    container = {"name": "migrate", "image": image, "imagePullPolicy": policy}
    return {"metadata": {"name": "job"}, "spec": {"template": {"spec": {"containers": [container]}}}}


def pod(image_id: str, phase: str = "Succeeded", name: str = "pod") -> Object:
    status = {"phase": phase, "containerStatuses": [{"name": "migrate", "imageID": image_id}]}
    return {"metadata": {"name": name, "labels": {JOB_LABEL: "job"}}, "status": status}


@pytest.mark.parametrize(
    ("image", "image_id", "digest"),
    [
        ("example.com/rtx:1", f"example.com/rtx@{NEW}", NEW),
        ("example.com:5000/a/rtx:1", f"example.com:5000/a/rtx@{NEW}", NEW),
        ("localhost/rtx:1", f"localhost/rtx@{NEW}", NEW),
        ("team/rtx:1", f"docker.io/team/rtx@{NEW}", NEW),
        ("rtx:1", f"docker.io/library/rtx@{NEW}", NEW),
        ("docker.io/rtx:1", f"docker.io/library/rtx@{NEW}", NEW),
        ("index.docker.io/team/rtx:1", f"docker.io/team/rtx@{NEW}", NEW),
        ("example.com/rtx:1", f"docker-pullable://example.com/rtx@{NEW}", NEW),
        ("example.com/rtx:1", NEW, ""),  # containerd, of an image that was imported
        ("example.com/rtx:1", f"docker.io/library/import-2026-11-26@{NEW}", ""),  # kind load
        ("example.com/rtx:1", "3f5a" * 16, ""),  # CRI-O, likewise
        ("example.com/rtx:1", f"mirror.example.com/rtx@{NEW}", ""),
        ("example.com/rtx:1", "", ""),
        (f"example.com/rtx@{OLD}", f"example.com/rtx@{OLD}", ""),  # spec.image.digest
    ],
)
def test_tag_is_resolved_only_to_a_digest_that_its_registry_knows(image: str, image_id: str, digest: str) -> None:
    assert resolved(Observation(children={}, pods=(pod(image_id),)), job(image)) == digest


def test_nodes_that_must_not_pull_are_given_no_digest() -> None:
    seen = Observation(children={}, pods=(pod(f"example.com/rtx@{NEW}"),))

    assert resolved(seen, job("example.com/rtx:1", "Never")) == ""


def test_pod_that_succeeded_counts_before_one_that_failed() -> None:
    failed = pod(f"example.com/rtx@{OLD}", "Failed", "first")
    seen = Observation(children={}, pods=(failed, pod(f"example.com/rtx@{NEW}")))

    assert resolved(seen, job("example.com/rtx:1")) == NEW

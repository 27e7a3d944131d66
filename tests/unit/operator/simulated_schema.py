"""The schema of the simulated database: which release's expand migrations it has."""

from cutover_world import World
from rtx_operator.api.names import Label
from rtx_operator.observation import JobEnd, Object, is_ready, job_ended
from simulated_api import label


class Schema:
    """An engine pod of a world is ready only while the database has the schema of its build (ADR 0053)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.version = "0.0.0"  # whose expand migrations are there
        self.done: set[str] = set()  # uids of the Jobs that have run
        self._run_jobs, self._run_pods = world.run_jobs, world.run_pods
        self._migrate()
        world.run_jobs, world.run_pods = self._jobs, self._pods  # type: ignore[method-assign]

    def restore(self, version: str, moves: int = 1) -> None:
        """The database comes back from a backup of that many moves ago, with the schema of `version`."""
        for _ in range(moves):
            self.world.lose_move()
        self.version = version

    def _jobs(self) -> None:
        self._run_jobs()
        self._migrate()

    def _migrate(self) -> None:
        for job in migrations(self.world):
            if job_ended(job, JobEnd.COMPLETE) and job["metadata"]["uid"] not in self.done:
                self.done.add(job["metadata"]["uid"])
                if "up" in arguments(job) and "contract" not in arguments(job):
                    self.version = max(self.version, label(job, Label.APP_VERSION))

    def _pods(self) -> None:
        self._run_pods()
        world = self.world
        for name in world.processes:
            pod = world.pods[name]
            if is_ready(pod) and label(pod, Label.APP_VERSION) > self.version and world.fence is not None:
                unready = {"type": "Ready", "status": "False"}
                world.pods[name] = {**pod, "status": {**pod["status"], "conditions": [unready]}}


def migrations(world: World) -> list[Object]:
    """The migration Jobs that exist."""
    return [job for (kind, name), job in world.children.items() if kind == "Job" and "-check-" not in name]


def renewals(world: World) -> dict[str, bool]:
    """The Jobs that migrate earlier data, and whether each is complete."""
    return {
        job["metadata"]["name"]: job_ended(job, JobEnd.COMPLETE) is not None
        for job in migrations(world)
        if any(one.startswith("after-epoch-") for one in arguments(job))
    }


def arguments(job: Object) -> list[str]:
    """The arguments of a migration Job."""
    [container] = job["spec"]["template"]["spec"]["containers"]
    return list(container.get("args") or [])

"""database/member.py: who begins a cluster, who owns its state, and who is the only primary."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import member
import pytest
from cluster_api import ClusterApiError
from member import Begins, Member
from rtx_operator.api.enums import MemberRole
from rtx_operator.api.names import MAX_DATABASE_INSTANCES, Label, Names

Object = dict[str, Any]
NAMES = Names("rtx")
STATE = (NAMES.database_configuration, NAMES.database_leader, NAMES.database_quorum, NAMES.database_switchover)
SYSTEM = "7712858074957434910"


class Api:
    """The API server's objects of one namespace."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.failures = 0
        self.before_get: Callable[[], None] = lambda: None

    def put(self, plural: str, name: str, **metadata: Any) -> Object:
        made = {"metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "1", **metadata}}
        return self.objects.setdefault((plural, name), made)

    def get(self, plural: str, name: str) -> Object | None:
        self.before_get()
        if self.failures:
            self.failures -= 1
            raise ClusterApiError("GET: the connection was refused")
        return copy.deepcopy(self.objects.get((plural, name)))

    def select(self, plural: str, labels: Mapping[str, str]) -> list[Object]:
        found = [one for (kind, _), one in self.objects.items() if kind == plural]
        return [one for one in found if labels.items() <= (one["metadata"].get("labels") or {}).items()]

    def create(self, plural: str, new: Object) -> None:
        self.put(plural, **new["metadata"])

    def patch(self, plural: str, name: str, change: Object) -> None:
        metadata = self.objects[plural, name]["metadata"]
        for key, value in change["metadata"].items():
            if isinstance(value, dict):
                merged = {**(metadata.get(key) or {}), **value}
                metadata[key] = {one: text for one, text in merged.items() if text is not None}
            else:
                metadata[key] = value

    def annotations(self, name: str) -> dict[str, str]:
        return dict(self.objects["configmaps", name]["metadata"].get("annotations") or {})

    def owners(self, name: str) -> list[str]:
        return [one["name"] for one in self.objects["configmaps", name]["metadata"].get("ownerReferences") or []]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "RETRY_SECONDS", 0.0)


@pytest.fixture
def api() -> Api:
    return Api()


def joins(api: Api, ordinal: int, *, has_data: bool = False) -> Begins:
    """What `member join` does of a pod with a claim."""
    pod = f"{NAMES.postgres}-{ordinal}"
    api.put("persistentvolumeclaims", f"data-{pod}")
    return Member(api, pod).prepare(has_data=has_data)  # type: ignore[arg-type]


def begun(api: Api, *ordinals: int) -> None:
    """A cluster of these members, led by the first of them."""
    for name in STATE:
        owners = [
            {"kind": "PersistentVolumeClaim", "name": claim, "uid": f"uid-of-{claim}"}
            for claim in (f"data-{NAMES.postgres}-{ordinal}" for ordinal in ordinals)
        ]
        api.put("configmaps", name, ownerReferences=owners)
    for ordinal in ordinals:
        api.put("persistentvolumeclaims", f"data-{NAMES.postgres}-{ordinal}")
    configuration = {"config": "{}", "initialize": SYSTEM, "history": "[]"}
    api.patch("configmaps", NAMES.database_configuration, {"metadata": {"annotations": configuration}})
    leads(api, ordinals[0])


def leads(api: Api, ordinal: int) -> None:
    leader = {"leader": f"{NAMES.postgres}-{ordinal}", "optime": "1"}
    api.patch("configmaps", NAMES.database_leader, {"metadata": {"annotations": leader}})


def test_first_member_with_an_empty_volume_begins_a_cluster(api: Api) -> None:
    assert joins(api, 0) is Begins.YES


def test_first_member_with_data_begins_none(api: Api) -> None:
    # Given data whose state is lost, as after a restore of the API server's objects
    assert joins(api, 0, has_data=True) is Begins.NO


def test_first_member_with_a_new_volume_copies_the_others(api: Api) -> None:
    # Given three members, of which the first one's claim is gone
    begun(api, 0, 1, 2)
    claim = api.objects.pop(("persistentvolumeclaims", f"data-{NAMES.postgres}-0"))
    claim["metadata"]["uid"] = "another"
    api.objects["persistentvolumeclaims", f"data-{NAMES.postgres}-0"] = claim
    # When it joins, then it makes no database of its own, and the state stays
    assert joins(api, 0) is Begins.NO
    assert api.annotations(NAMES.database_configuration)["initialize"] == SYSTEM


@pytest.mark.parametrize("has_data", [False, True])
def test_other_members_wait_until_the_first_one_has_begun(api: Api, *, has_data: bool) -> None:
    # Given a cluster that begins while the second member waits
    asked = iter(range(60))

    def begin_late() -> None:
        if next(asked, None) == 40:
            annotations = {"metadata": {"annotations": {"initialize": SYSTEM}}}
            api.patch("configmaps", NAMES.database_configuration, annotations)

    api.before_get = begin_late
    # When it joins, then it returns only after that
    assert joins(api, 1, has_data=has_data) is Begins.NO
    assert next(asked) > 40


def test_state_is_owned_by_the_claim_of_each_member(api: Api) -> None:
    begun(api, 0)
    joins(api, 1)
    joins(api, 2)

    claims = [f"data-{NAMES.postgres}-{ordinal}" for ordinal in range(3)]
    assert {name: api.owners(name) for name in STATE} == dict.fromkeys(STATE, claims)


def test_state_that_the_operator_owns_too_stays_its_own(api: Api) -> None:
    # Given deletionPolicy Delete: the TradingEngine owns the ConfigMap
    engine = {"kind": "TradingEngine", "name": "rtx", "uid": "uid-1"}
    annotations = {"config": "{}"}
    api.put("configmaps", NAMES.database_configuration, ownerReferences=[engine], annotations=annotations)
    # When the first member joins
    assert joins(api, 0) is Begins.YES
    # Then both are owners
    assert api.owners(NAMES.database_configuration) == ["rtx", f"data-{NAMES.postgres}-0"]


def test_state_of_volumes_that_are_gone_is_void(api: Api) -> None:
    # Given the state of a cluster whose claims were deleted, and a claim of the same name
    begun(api, 0, 1, 2)
    for ordinal in range(3):
        del api.objects["persistentvolumeclaims", f"data-{NAMES.postgres}-{ordinal}"]
    api.put("persistentvolumeclaims", f"data-{NAMES.postgres}-0", uid="another")
    # When its member joins, then it begins a cluster, with the configuration that the operator has written
    assert joins(api, 0) is Begins.YES
    assert api.annotations(NAMES.database_configuration) == {"config": "{}"}
    assert api.annotations(NAMES.database_leader) == {}
    assert api.owners(NAMES.database_leader) == [f"data-{NAMES.postgres}-0"]


def test_requests_that_fail_are_made_again(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.failures = 3

    assert joins(api, 0) is Begins.YES
    assert "waiting for the Kubernetes API: GET: the connection was refused" in capsys.readouterr().err


def test_new_primary_takes_the_role_from_the_one_before(api: Api) -> None:
    # Given a primary of before, whose node is cut off, and a standby
    begun(api, 1, 0, 2)
    cluster = {Label.DATABASE_CLUSTER.value: NAMES.postgres}
    primary, replica = ({**cluster, Label.ROLE.value: role.value} for role in MemberRole)
    for ordinal, labels in enumerate((primary, primary, replica)):
        api.put("pods", f"{NAMES.postgres}-{ordinal}", labels=labels)
    # When another one leads
    new = Member(api, f"{NAMES.postgres}-1")  # type: ignore[arg-type]
    assert new.end_other_primaries()
    # Then it is the only primary
    roles = [pod["metadata"]["labels"].get(Label.ROLE.value) for pod in api.select("pods", cluster)]
    assert roles == [None, MemberRole.PRIMARY, MemberRole.REPLICA]


def test_server_that_does_not_lead_takes_the_role_from_nobody(api: Api) -> None:
    # Given a server that was promoted, and has lost the lock since
    begun(api, 2, 0, 1)
    labels = {Label.DATABASE_CLUSTER.value: NAMES.postgres, Label.ROLE.value: MemberRole.PRIMARY.value}
    api.put("pods", f"{NAMES.postgres}-2", labels=labels)
    # Then it leaves the label where it is
    late = Member(api, f"{NAMES.postgres}-0")  # type: ignore[arg-type]
    assert not late.end_other_primaries()
    assert api.objects["pods", f"{NAMES.postgres}-2"]["metadata"]["labels"] == labels


def test_image_and_operator_agree_on_names() -> None:
    assert {f"{NAMES.postgres}-{suffix}" for suffix in member.cluster_state.NAMES} == set(STATE)
    assert (member.SCOPE_LABEL, member.ROLE_LABEL) == (Label.DATABASE_CLUSTER, Label.ROLE)
    assert (member.PRIMARY, member.MAX_MEMBERS) == (MemberRole.PRIMARY, MAX_DATABASE_INSTANCES)

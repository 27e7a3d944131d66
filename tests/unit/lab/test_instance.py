"""Addresses and names derived from an instance's name."""

import pytest
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance


def test_the_default_instance_has_the_documented_addresses() -> None:
    # given
    node = Instance().node(2)
    # then
    assert (str(node.ip), str(node.pods)) == ("10.200.0.2", "10.244.2.0/24")
    assert Instance().server == "https://10.200.0.100:6443"
    assert str(Instance().dns_ip) == "10.96.0.10"


def test_another_instance_shares_no_address_or_folder_with_the_default_one() -> None:
    # given
    one, other = Instance(), Instance("rtx-lab-two")
    # then
    for network in ("machines", "pods", "services"):
        assert not getattr(one, network).overlaps(getattr(other, network))
    assert not other.run.is_relative_to(one.run)
    assert not other.state.is_relative_to(one.state)


@pytest.mark.parametrize("name", ["", "prod", "rtx-lab-", "rtx-lab-../x", "rtx-lab-toolongname"])
def test_invalid_cluster_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="is not a valid cluster name"):
        Instance(name)

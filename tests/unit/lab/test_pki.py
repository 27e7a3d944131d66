"""The certificates pass the strictest client at hand."""

import socket
import ssl
import threading
from ipaddress import IPv4Address
from pathlib import Path

import yaml
from rtx_lab import pki


def test_a_strict_client_accepts_an_issued_certificate(tmp_path: Path) -> None:
    # given: the flags that Python 3.13 sets by default
    authority = pki.create_authority(tmp_path, "test-ca")
    authority.issue("server", "kube-apiserver", hosts=("kubernetes",), ips=(IPv4Address("127.0.0.1"),))
    authority.issue("client", "admin", group="system:masters")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.crt"))
    serving.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    calling = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    calling.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    for context in (serving, calling):
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    subjects = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with serving.wrap_socket(connection, server_side=True) as secure:
            subjects.append(secure.getpeercert())

    # when
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=10) as raw:
            calling.wrap_socket(raw, server_hostname="127.0.0.1").close()
        thread.join(timeout=10)
    # then: Kubernetes reads group and user from here
    assert subjects
    assert subjects[0]
    assert subjects[0]["subject"] == ((("organizationName", "system:masters"),), (("commonName", "admin"),))


def test_kubeconfig_is_self_contained_and_names_its_context(tmp_path: Path) -> None:
    # given
    authority = pki.create_authority(tmp_path, "test-ca")
    authority.issue("admin", "admin")
    # when
    config = yaml.safe_load(authority.kubeconfig("admin", "https://10.200.0.100:6443", "rtx-lab"))
    # then
    assert config["current-context"] == "rtx-lab"
    assert config["clusters"][0]["cluster"]["server"] == "https://10.200.0.100:6443"
    assert not any("/" in key for key in config["users"][0]["user"])
    assert {"client-certificate-data", "client-key-data"} == set(config["users"][0]["user"])


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    pki.create_authority(tmp_path, "test-ca")
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0

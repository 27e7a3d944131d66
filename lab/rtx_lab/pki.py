"""Certificates and kubeconfigs of one cluster, created at each `up`."""

import datetime as dt
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rtx_lab.instance import Instance

LIFETIME = dt.timedelta(days=365)
CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that writes certificates into `folder` as NAME.crt and NAME.key."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        common_name: str,
        *,
        group: str = "",
        hosts: tuple[str, ...] = (),
        ips: tuple[IPv4Address, ...] = (),
    ) -> None:
        """Issues a certificate for client and server use; `group` becomes the user's group in Kubernetes."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(common_name, group), self.certificate.subject, key.public_key())
        names = [*map(x509.DNSName, hosts), *map(x509.IPAddress, ips)]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority_id, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(self.folder / f"{name}.key", _private_pem(key))
        certificate = builder.sign(self.key, hashes.SHA256())
        _write(self.folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))

    def kubeconfig(self, name: str, server: str, context: str) -> str:
        """A self-contained kubeconfig for the certificate `name`."""

        def data(content: bytes) -> str:
            return b64encode(content).decode()

        user = {
            "client-certificate-data": data((self.folder / f"{name}.crt").read_bytes()),
            "client-key-data": data((self.folder / f"{name}.key").read_bytes()),
        }
        cluster = {"server": server, "certificate-authority-data": data(self.pem)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
            "current-context": context,
        }
        return yaml.safe_dump(config, sort_keys=False)


def create_authority(folder: Path, common_name: str) -> Authority:
    """Creates the authority and writes ca.crt and ca.key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name)
    builder = _builder(subject, subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    authority = Authority(folder, key, builder.sign(key, hashes.SHA256()))
    _write(folder / "ca.key", _private_pem(key))
    _write(folder / "ca.crt", authority.pem)
    return authority


def create_all(instance: Instance, nodes: int) -> None:
    """Writes all certificates and kubeconfigs of a cluster with `nodes` workers."""
    authority = create_authority(instance.pki, f"{instance.name}-ca")
    api = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    loopback = IPv4Address("127.0.0.1")
    addresses = (loopback, instance.services[1], instance.control_plane_ip)
    authority.issue("apiserver", "kube-apiserver", hosts=(*api, "localhost"), ips=addresses)
    authority.issue("admin", "admin", group="system:masters")
    authority.issue("kube-controller-manager", "system:kube-controller-manager")
    authority.issue("kube-scheduler", "system:kube-scheduler")
    authority.issue("kube-proxy", "system:kube-proxy")
    authority.issue("front-proxy", "front-proxy-client")
    clients = ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy"]
    for node in map(instance.node, range(1, nodes + 1)):
        identity = f"system:node:{node.name}"
        authority.issue(node.name, identity, group="system:nodes", hosts=(node.name,), ips=(node.ip,))
        clients.append(node.name)
    for client in clients:
        config = authority.kubeconfig(client, instance.server, instance.name)
        _write(instance.pki / f"{client}.kubeconfig", config.encode())
    tokens = ec.generate_private_key(ec.SECP256R1())
    _write(instance.pki / "service-accounts.key", _private_pem(tokens))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    _write(instance.pki / "service-accounts.pub", tokens.public_key().public_bytes(serialization.Encoding.PEM, form))
    _write(instance.kubeconfig, (instance.pki / "admin.kubeconfig").read_bytes())


def _subject(common_name: str, group: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    # Python 3.13 rejects an authority without keyCertSign.
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)

"""The host's certificates and package registry settings, mounted during a build and never part of an image."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@contextmanager
def volumes() -> Iterator[list[str]]:
    """The --volume options of buildah, valid during the block."""
    with tempfile.TemporaryDirectory(prefix="rtx-lab-build-") as folder:
        mounts = {}
        bundle = os.environ.get("SSL_CERT_FILE", CA_BUNDLE)
        if Path(bundle).is_file():
            mounts[bundle] = CA_BUNDLE
        for name, inside, text in (
            ("pip.conf", "/etc/pip.conf", pip_config(os.environ)),
            ("uv.toml", "/etc/uv/uv.toml", uv_config(os.environ)),
        ):
            file = Path(folder) / name
            file.write_text(text)
            mounts[str(file)] = inside
        wheels = os.environ.get("PIP_FIND_LINKS", "")
        if Path(wheels).is_absolute() and Path(wheels).is_dir():
            mounts[wheels] = wheels
        yield [f"--volume={outside}:{inside}:ro" for outside, inside in mounts.items()]


def pip_config(environment: Mapping[str, str]) -> str:
    """The content of a pip configuration file with the settings of the host's PIP_… variables."""
    own = {key: value for key, value in environment.items() if key.startswith("PIP_")} | {"PIP_CERT": CA_BUNDLE}
    lines = [f"{key.removeprefix('PIP_').lower().replace('_', '-')} = {value}" for key, value in sorted(own.items())]
    return "\n".join(["[global]", *lines, ""])


def uv_config(environment: Mapping[str, str]) -> str:
    """The content of a uv configuration file: system certificates, and the host's package index if one is set."""
    lines = ["native-tls = true"]
    index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or environment.get("PIP_INDEX_URL")
    if index:
        lines += ["[[index]]", f'url = "{index}"', "default = true"]
    return "\n".join([*lines, ""])

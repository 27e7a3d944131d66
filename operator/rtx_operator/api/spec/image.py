"""spec.image: the engine's image, and the notation of images."""

from pydantic import Field

from rtx_operator.api.enums import PullPolicy
from rtx_operator.api.schema import ApiModel, matches, rule, rules

DIGEST = r"sha256:[0-9a-f]{64}"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
REPOSITORY = rf"([A-Za-z0-9.-]+(:[0-9]+)?/)?{_PATH}(/{_PATH})*"


class Image(ApiModel):
    """The engine's image. Its tag is spec.version unless a digest is set. An edit makes an upgrade."""

    repository: str = Field(
        max_length=255,
        description="Registry and name of the image, without tag or digest.",
        json_schema_extra=rules(
            rule(
                "!self.contains('@') && !self.substring(self.lastIndexOf('/') + 1).contains(':')",
                "must have no tag or digest: the tag is spec.version, a digest goes into spec.image.digest",
            ),
            matches(
                f"^{REPOSITORY}([:@][^/]*)?$",
                "must be an image's name, such as registry.example.com/rtx-engine, in lower case and without https://",
            ),
        ),
    )
    digest: str | None = Field(
        default=None,
        max_length=71,
        description="Pins the image: sha256: and 64 hexadecimal digits. Pods then run exactly this image, whatever the "
        "tag points to; spec.version stays the name of the version. Without it the tag counts as it is when an upgrade "
        "begins: the digest that the migration Job ran is that of all pods of the upgrade. It stands in status.active.",
        json_schema_extra=rules(matches(f"^{DIGEST}$", "must be sha256: and 64 hexadecimal digits")),
    )
    pull_policy: PullPolicy = Field(
        default=PullPolicy.IF_NOT_PRESENT,
        description="When a node asks the registry for the image: Always, IfNotPresent (it does not have it yet) or "
        "Never.",
    )

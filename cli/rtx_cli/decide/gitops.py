"""Whether another tool applies an engine, and will take back what is changed here."""

from rtx_cli.decide.engine import Engine

_MARKS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
}


def warning(engine: Engine) -> str:
    """A sentence for who changes the engine; empty: nobody else applies it."""
    marks = {**engine.labels, **engine.annotations}
    manager = next((tool for mark, tool in _MARKS.items() if mark in marks), "")
    if not manager:
        return ""
    return f"warning: {manager} applies {engine.name}, and may set spec back: change it there, too"

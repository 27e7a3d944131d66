"""The operator waits for its kinds, and starts again when it no longer definitions."""

import asyncio

import pytest
from aiohttp import ClientSession
from api_server import ApiServer, serving
from free_ports import free_port
from rtx_operator import definitions, health
from rtx_operator.cluster.resources import ENGINE, OURS

DISCOVERY = f"/apis/{ENGINE.api_version}"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "INTERVAL_SECONDS", 0.01)


async def test_operator_that_starts_before_the_crd_waits_and_says_so() -> None:
    # Given an API server without the CRD
    server, readiness, port = ApiServer(), health.Readiness(), free_port()
    runner = await health.serve(port, readiness)
    async with serving(server) as client, ClientSession(f"http://127.0.0.1:{port}") as kubelet:
        waiting = asyncio.create_task(definitions.wait_for_kinds(client, readiness))

        # When the operator has started, then it is not ready, and says why
        await asyncio.sleep(0.5)
        async with kubelet.get("/readyz") as response:
            assert response.status == 503
            assert "does not serve tradingengines" in await response.text()
        assert not waiting.done()

        # When the CRDs are applied
        server.objects[DISCOVERY] = {"metadata": {}, "resources": [{"name": ours.plural} for ours in OURS.values()]}

        # Then it goes on by itself, and is ready
        await asyncio.wait_for(waiting, 10)
        async with kubelet.get("/readyz") as response:
            assert response.status == 200
    await runner.cleanup()

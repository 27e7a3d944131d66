"""Requests made from the engine's own OpenAPI document, valid and not: no answer is a 5xx or undescribed."""

import asyncio
import ipaddress
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, settings
from rtx_engine.api.openapi import document
from rtx_engine.version import VERSION

EXAMPLES = 40  # of each operation, valid ones and as many that are not
TIMEOUT_SECONDS = 20
# The same requests in each run: what fails here fails again on the next machine.
STEADY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _log_in(session: requests.Session, url: str, username: str, password: str) -> dict[str, str]:
    """The headers of that user."""
    credentials = {"username": username, "password": password}
    answer = session.post(f"{url}/api/login", json=credentials, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return {"authorization": f"Bearer {answer.json()['token']}"}


async def test_requests_made_from_the_openapi_document_get_the_answers_that_it_describes(engines: Any) -> None:
    # given an engine that believes us that each login comes from another address: else it soon looks at none
    engine = await engines.start(TRUSTED_PROXIES="127.0.0.0/8")
    # when requests are made from the document, then the answers are those that it describes
    asked = await asyncio.to_thread(_fuzz, engine.url)
    assert "POST /api/orders/market" in asked
    assert "a request failed" not in engine.log.read_text()


def _fuzz(url: str) -> set[str]:
    """Returns what was asked. Fails at the first answer that the document does not describe."""
    # schemathesis takes a second to import, which only this test spends
    import schemathesis  # noqa: PLC0415
    from schemathesis import checks  # noqa: PLC0415
    from schemathesis.generation import GenerationMode  # noqa: PLC0415

    schema = schemathesis.openapi.from_dict(document(VERSION, "RTX Trading"))
    kept = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    addresses = (str(address) for address in ipaddress.ip_network("198.18.0.0/15").hosts())
    asked = set()

    def fuzz(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
        @STEADY
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            own = headers | {"x-forwarded-for": next(addresses)}
            case.call_and_validate(url, session, headers=own, checks=kept, timeout=TIMEOUT_SECONDS)
            asked.add(operation.label)

        ask()

    with requests.Session() as session:
        admin = _log_in(session, url, "admin", "admin-password")
        account = {"username": "fuzzer", "password": "password", "balance": "1000000", "leverage": 100}
        made = session.post(f"{url}/api/admin/accounts", json=account, headers=admin, timeout=TIMEOUT_SECONDS)
        assert made.status_code == 201, made.text
        trader = _log_in(session, url, "fuzzer", "password")
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.definition.raw.get("x-websocket"):
                continue
            headers = admin if "/admin/" in operation.path else trader
            fuzz(operation, GenerationMode.POSITIVE, headers)
            if operation.body or operation.query or operation.path_parameters:  # else nothing can be wrong
                fuzz(operation, GenerationMode.NEGATIVE, headers)
    return asked

"""The control plane of a migration, against a service that has nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from libmigrate import aio

GROUP = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/migrate-rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/migrate-vnet"
WANTED: dict[str, Any] = {
    "scenario": "hyper_v",
    "cloud": "public",
    "project": f"{GROUP}/providers/Microsoft.Migrate/migrateProjects/erp",
    "vault": f"{GROUP}/providers/Microsoft.RecoveryServices/vaults/erp-vault",
    "region": "centralus",
    "private_network": {
        "subnet": f"{NETWORK}/subnets/endpoints",
        "endpoint_group": GROUP,
        "may_approve": True,
        "zone_group": GROUP,
    },
    "replication_account": f"{GROUP}/providers/Microsoft.Storage/storageAccounts/erpreplicas",
    "container": "replicas",
    "appliance": {},
    "target": {"resource_group": GROUP.replace("migrate-rg", "target-rg"), "network": NETWORK, "subnet": "endpoints"},
    "servers": [],
}


class Credential:
    asked: list[tuple[str, ...]] = []

    def get_token(self, *scopes: str) -> Any:
        self.asked.append(scopes)
        return namedtuple("AccessToken", ["token", "expires_on"])("canary", time.time() + 3600)


class Refusing:
    problem = PermissionError("nobody is signed in")

    def get_token(self, *scopes: str) -> Any:
        raise self.problem


class Service(BaseHTTPRequestHandler):
    """Has no resource, and notes who asks."""

    asked: list[str | None] = []

    def answer(self) -> None:
        self.asked.append(self.headers["authorization"])
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b'{"error": {"code": "ResourceNotFound", "message": "there is none"}}'
        self.send_response(404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = answer

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_plan_is_made_shown_and_applied_as_far_as_the_service_goes_along(
    engine: lm.Engine, tmp_path: Path, endpoint: str
) -> None:
    project = engine.open_project(WANTED, credential=Credential(), endpoint=endpoint, poll_ms=1)
    findings = project.preflight(network=False)
    assert findings and all(finding.code and finding.severity for finding in findings)
    plan = project.plan("prepared")
    assert plan["steps"] and lm.control("markdown", plan=plan).startswith("#")
    assert isinstance(project.template(plan)["resources"], list)
    assert isinstance(project.hosts_lines(), str)
    assert Service.asked[0] == "Bearer canary" and "management" in Credential.asked[0][0]
    with pytest.raises(lm.ControlError) as raised:
        project.apply(plan, journal=tmp_path / "journal")
    assert raised.value.code == "arm.not_found"
    told = project.told()
    assert told is not None and told["event"] == "begun"


def test_the_same_is_awaited(tmp_path: Path, endpoint: str) -> None:
    async def main() -> None:
        async with aio.Engine() as engine:
            project = engine.open_project(WANTED, credential=Credential(), endpoint=endpoint, poll_ms=1)
            plan = await project.plan("prepared", shut_down_source=False)
            assert await project.preflight(network=False) and await project.template(plan)
            assert (await project.ask("enable"))["steps"] == [] and isinstance(await project.hosts_lines(), str)
            with pytest.raises(lm.ControlError):
                await project.apply(plan, journal=tmp_path / "journal", approvals={"kinds": ["grant_role"]})
            assert project.told()

    asyncio.run(main())


def test_a_project_is_refused_without_a_credential_and_what_that_raises_is_the_cause(
    engine: lm.Engine, endpoint: str
) -> None:
    with pytest.raises(lm.ArgumentTypeError):
        engine.open_project(WANTED, credential=object())  # type: ignore[arg-type]
    with pytest.raises(lm.ArgumentError):
        engine.open_project({}, credential=Credential())
    project = engine.open_project(WANTED, credential=Refusing(), endpoint=endpoint)
    with pytest.raises(lm.LibmigrateError) as raised:
        project.plan("prepared")
    assert raised.value.__cause__ is Refusing.problem
    with pytest.raises(lm.ArgumentError):
        project.plan("nowhere")  # type: ignore[arg-type]
    with pytest.raises(lm.ArgumentError):
        project.ask("nothing")


def test_an_outcome_is_true_when_it_is_done() -> None:
    waits = lm.Outcome.of({"done": False, "waits": [{"wait": "approval"}], "findings": []})
    assert not waits and waits.waits[0]["wait"] == "approval"

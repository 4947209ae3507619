"""Targets in Azure and how they are asked: without a network, as far as a connection."""

from __future__ import annotations

import asyncio
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from libmigrate import aio

AccessToken = namedtuple("AccessToken", ["token", "expires_on"])
URL = "https://web01.blob.core.windows.net/disks/web01.vhd"
# Nobody answers there, and bytes may go there: the token is asked for before the connection is made.
NOWHERE = "https://127.0.0.1:9/devstore/disks/web01.vhd"
OPEN: Any = {"private_link": {"required": False}}


def open_replica(credential: Any, path: Path) -> lm.LibmigrateError:
    with lm.Engine(state_dir=path / "state", retry={"budget_seconds": 1}) as engine:
        with pytest.raises(lm.LibmigrateError) as raised:
            engine.open_replica(lm.Target(NOWHERE, credential=credential, **OPEN), lm.Source.pushed(4096))
    return raised.value


class Credential:
    """As those of azure.identity."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def get_token(self, *scopes: str, **_: Any) -> Any:
        self.asked.append(scopes)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class AsyncCredential(Credential):
    """As those of azure.identity.aio."""

    loop: Any = None

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()
        return super().get_token(*scopes)


def test_a_token_is_asked_for_with_storages_scope(tmp_path: Path) -> None:
    credential = Credential(AccessToken("canary", time.time() + 3600))
    error = open_replica(credential, tmp_path)
    assert credential.asked[0] == ("https://storage.azure.com/.default",)
    assert isinstance(error, lm.TargetError) and "canary" not in repr(error.to_dict())


def test_an_asynchronous_credential_is_awaited_from_a_blocking_call_too(tmp_path: Path) -> None:
    credential = AsyncCredential(AccessToken("canary", time.time() + 3600))
    open_replica(credential, tmp_path)
    assert credential.asked


def test_an_asynchronous_credential_is_awaited_on_the_loop_of_its_target(tmp_path: Path) -> None:
    credential = AsyncCredential(AccessToken("canary", time.time() + 3600))

    async def main() -> None:
        async with aio.Engine(state_dir=tmp_path / "state", retry={"budget_seconds": 1}) as engine:
            target = lm.Target(NOWHERE, credential=credential, **OPEN)
            with pytest.raises(lm.TargetError):
                await engine.open_replica(target, lm.Source.pushed(4096))
        assert credential.loop is asyncio.get_running_loop()

    asyncio.run(main())


def test_what_get_token_raises_is_the_cause_and_its_words_are_not_repeated(tmp_path: Path) -> None:
    problem = PermissionError("client_secret=canary")
    error = open_replica(Credential(problem), tmp_path)
    assert error.__cause__ is problem
    assert "canary" not in repr(error.to_dict()) and "PermissionError" in repr(error.to_dict())


@pytest.mark.parametrize("answer", [None, AccessToken(b"canary", 1), AccessToken("canary", "soon"), ("canary",)])
def test_a_token_of_another_form_is_refused_without_its_words(tmp_path: Path, answer: Any) -> None:
    error = open_replica(Credential(answer), tmp_path)
    assert "canary" not in repr(error.to_dict()) and "get_token raised" in repr(error.to_dict())


def test_the_credentials_of_azure_core_are_taken() -> None:
    named = namedtuple("named", ["name", "key"])
    sas, key = type("AzureSasCredential", (), {})(), type("AzureNamedKeyCredential", (), {})()
    sas.signature, key.named_key = "sv=1&sig=canary", named("web01", "Y2FuYXJ5")
    for credential in (sas, key, {"sas": "sv=1&sig=canary"}, {"account": "web01", "key": "Y2FuYXJ5"}):
        target = lm.Target(URL, credential=credential)
        assert "canary" not in repr(target) and target.location.startswith("https://web01.")


@pytest.mark.parametrize("credential", [7, object(), b"canary"])
def test_what_is_no_credential_is_a_type_error(credential: Any) -> None:
    with pytest.raises(lm.ArgumentTypeError, match="get_token"):
        lm.Target(URL, credential=credential)


def test_a_refused_target_does_not_repeat_its_secret() -> None:
    with pytest.raises(lm.LibmigrateError) as raised:
        lm.Target(URL, credential={"sass": "canary"})
    assert "canary" not in str(raised.value)
    with pytest.raises(lm.LibmigrateError) as raised:
        lm.Target("http://example.com/a/b?sig=canary", credential={"sas": "canary"})
    assert "canary" not in str(raised.value)

"""Partners' secrets at rest: sealed by a key that is a file of ours, a variable, or a file that a variable names."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from shared import vault
from shared.errors import OperatorError

SECRETS = ("whsec_AAAA", "whsec_BBBB")


@pytest.fixture(autouse=True)
def no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIEFWIRE_SECRET_KEY", raising=False)
    monkeypatch.delenv("BRIEFWIRE_SECRET_KEY_FILE", raising=False)


def test_a_key_is_made_with_the_first_secret_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    sealed = vault.seal(tmp_path, SECRETS)
    assert vault.unseal(tmp_path, sealed) == SECRETS
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert not any(secret in sealed for secret in SECRETS)


def test_machines_with_one_key_file_share_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(Fernet.generate_key() + b"\n")
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY_FILE", str(tmp_path / "key"))
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert vault.unseal(other, vault.seal(one, SECRETS)) == SECRETS
    assert not (one / "secret.key").exists()


def test_another_key_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = vault.seal(tmp_path, SECRETS)
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", Fernet.generate_key().decode())
    with pytest.raises(OperatorError, match="cannot be decrypted"):
        vault.unseal(tmp_path, sealed)


@pytest.mark.parametrize("key", ["short", "ключ", "é" * 44])
def test_what_is_no_key_is_said_so_without_repeating_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY", key)
    with pytest.raises(OperatorError) as raised:
        vault.seal(tmp_path, SECRETS)
    assert "BRIEFWIRE_SECRET_KEY" in raised.value.what
    assert key not in raised.value.what + raised.value.next_step


def test_a_key_file_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIEFWIRE_SECRET_KEY_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(OperatorError, match="BRIEFWIRE_SECRET_KEY_FILE cannot be read"):
        vault.seal(tmp_path, SECRETS)

"""What is said of certificates: that they expire, have, are not valid yet, or are another role's."""

from datetime import timedelta
from pathlib import Path

import pytest

from pi_system.cli.links import open_identity
from pi_system.errors import ConfigError
from pi_system.rpc.certificate import SOON_DAYS, check_role, days_left, problem, warn_of_expiry
from pi_system.rpc.keys import issue_client, write_keys
from pi_system.rpc.tls import Identity


def identity(folder: Path, days: int) -> Identity:
    write_keys(folder, days)
    return Identity.load(folder / "server")


def test_certificates_that_expire_are_warned_of_and_expired_ones_are_a_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh, old, expired = (identity(tmp_path / f"{days}", days) for days in (int(SOON_DAYS) + 2, 3, 0))
    for one in (fresh, old, expired):
        warn_of_expiry(one)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "expires in 3.0 days" in caplog.text
    assert [problem(one) for one in (fresh, old, expired)] == ["", "", "certificate: expired"]
    assert days_left(expired) <= 0 < days_left(old) < 3


@pytest.mark.parametrize(
    ("authority_days", "days", "remedy"),
    [(90, 3, "have another one issued (pi-server clients issue)"), (3, 90, "all parties need new keys")],
)
def test_who_must_renew_what_is_said_by_which_certificate_ends_first(
    authority_days: int, days: int, remedy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_keys(tmp_path / "keys", authority_days)
    issue_client(tmp_path / "keys" / "authority", "alice", tmp_path / "alice", days)
    warn_of_expiry(Identity.load(tmp_path / "alice"))
    assert f"expires in 3.0 days: {remedy}" in caplog.text


def test_certificates_that_are_not_valid_yet_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that was set back, or not yet set."""
    monkeypatch.setattr("pi_system.rpc.keys._CLOCK_SKEW", timedelta(days=-2))
    early = identity(tmp_path, 10)
    assert problem(early) == "certificate: not valid for another 2.0 days: expected a clock that is right"
    warn_of_expiry(early)
    assert "not valid for another 2.0 days" in caplog.text


def test_keys_of_another_role_are_refused_before_anything_listens_or_dials(link_keys: Path) -> None:
    with pytest.raises(ConfigError, match="expected a certificate of pi-server, found one of pi-client"):
        open_identity(link_keys / "client", False, role="server")
    for role in ("server", "client", "dealer"):
        assert open_identity(link_keys / role, False, role=role) == open_identity(link_keys / role, False)
        check_role(Identity.load(link_keys / role), role)

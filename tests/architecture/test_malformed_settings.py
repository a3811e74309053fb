"""A value that does not parse, or a name that nobody declared, stops the start with a message that names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convalloc.settings import DECLARED
from tests.architecture.sources import ROOT

MALFORMED = {
    "DEVELOPMENT": ["maybe", "ture", "2"],
    "DEBUG": ["on please"],
    "ALLOWED_ORIGINS": ["desk.example.com", "https://desk.example.com/app", "*", "https://*.example.com"],
    "PORT": ["http", "0", "65536", "8_000", "8000 "],
    "DATABASE_URL": ["nonsense", "mysql://a:hunter2@b/c", "postgresql://a:hunter2@b:port/c"],
    "DATABASE_OWNER_URL": ["localhost:5432"],
    "DATABASE_CONN_MAX_AGE": ["forever", "-1"],
    "DATABASE_ANSWER_SECONDS": ["0", "35s"],
    "REDIS_URL": ["localhost:6379", "http://localhost"],
    "SHUTDOWN_DELAY_SECONDS": ["soon", "61"],
    "TICK_SECONDS": ["1", "61", "1m"],
    "LOG_LEVEL": ["LOUD"],
    "ACCESS_TOKEN_SECONDS": ["59", "601", "10m"],
    "REFRESH_TOKEN_DAYS": ["0", "91"],
    "SESSION_DAYS": ["0", "366"],
    "CONSOLE_IDLE_MINUTES": ["0", "1441"],
    "CONSOLE_SESSION_HOURS": ["0", "169"],
    "TRUSTED_PROXIES": ["-1", "10", "one"],
    "RATE_LIMIT_ADDRESS": ["many", "1000001"],
    "RATE_LIMIT_CALLER": ["1e3"],
    "RATE_LIMIT_TENANT": ["-5"],
    "WEBHOOK_NETWORKS": ["everywhere", "10.1.2.3/8", "10.0.0.0/33", "::1/129"],
    "OPERATOR_HEADER_AUTH": ["ja"],
    "PRIORITY_ALPHA": ["much", "-0.1", "100.1", "0.12345", "NaN", "inf"],
    "PRIORITY_BETA": ["0,6"],
    "GRACE_PERIOD_MINUTES": ["0", "15m", "10081"],
    "DEFAULT_PAGE_LIMIT": ["0", "1e2"],
    "MAX_PAGE_LIMIT": ["1001"],
    "MAX_CONVERSATION_FETCH": ["15", "1001"],
    "ENV_FILE": ["/no/such/file"],
}
ANY_TEXT = {"SECRET_KEY", "SECRET_KEY_FALLBACKS", "TOKEN_ISSUER", "ALLOWED_HOSTS", "EMBEDDED_DIR"}


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """Read the settings in a process of their own, with nothing set but this."""
    bare = {name: value for name, value in os.environ.items() if name not in DECLARED}
    return subprocess.run(
        [sys.executable, "-c", "import convalloc.settings"],
        cwd=ROOT,
        env=bare | {"DEVELOPMENT": "true", "ENV_FILE": ""} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(**environment: str) -> str:
    """The last line of what a start that must fail says."""
    answer = start(**environment)
    assert answer.returncode == 1, answer.stdout
    return answer.stderr.strip().splitlines()[-1]


def test_a_development_machine_needs_no_setting() -> None:
    answer = start()

    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("url", ["postgresql://u:p@db.example.com:5432/name", "postgres://u@db/name", "postgresql:///name"])
def test_a_database_may_be_anywhere(url: str) -> None:
    answer = start(DATABASE_URL=url, REDIS_URL="redis+socket:///run/redis.sock")

    assert answer.returncode == 0, answer.stderr


def test_every_setting_has_a_malformed_value_or_takes_any_text() -> None:
    assert MALFORMED.keys() | ANY_TEXT == DECLARED.keys()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_value_stops_the_start(name: str, value: str) -> None:
    told = refusal(**{name: value})

    assert told.startswith(f"django.core.exceptions.ImproperlyConfigured: {name} is refused: ")
    assert DECLARED[name][2] in told, "it says what the setting takes"
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DEVELOPMENT": "false"}, "SECRET_KEY is missing"),
        ({"PRIORITY_ALPHA": "0", "PRIORITY_BETA": "0"}, "PRIORITY_ALPHA and PRIORITY_BETA are both 0"),
        ({"DEFAULT_PAGE_LIMIT": "50", "MAX_PAGE_LIMIT": "20"}, "DEFAULT_PAGE_LIMIT=50 is over MAX_PAGE_LIMIT=20"),
    ],
)
def test_settings_that_do_not_go_together_stop_the_start(environment: dict[str, str], told: str) -> None:
    assert told in refusal(**environment)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("PRIORITY_ALPAH=0.5", "sets PRIORITY_ALPAH, which convalloc does not know"),
        ("export GRACE_MINUTES=5", "sets GRACE_MINUTES, which convalloc does not know"),
        ("PRIORITY_ALPHA = 0.5", "line 2 is no NAME=value"),
        ("  PRIORITY_ALPHA=0.5", "line 2 is no NAME=value"),
        ("PRIORITY_ALPHA: 0.5", "line 2 is no NAME=value"),
        ("PRIORITY_ALPHA=much", "PRIORITY_ALPHA is refused"),
    ],
)
def test_a_typo_in_the_env_file_stops_the_start(line: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"# weights\n{line}\n\n")

    assert told in refusal(ENV_FILE=str(file))


def test_a_sound_env_file_is_read_and_the_environment_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("# the port\n\nexport PORT=8001\nDEFAULT_PAGE_LIMIT=1001\n")

    assert "DEFAULT_PAGE_LIMIT is refused: 1001 is not from 1 to 1000" in refusal(ENV_FILE=str(file))
    assert start(ENV_FILE=str(file), DEFAULT_PAGE_LIMIT="10").returncode == 0

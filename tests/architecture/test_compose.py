"""docker-compose.yml and .env.example, held against the code: no Docker engine is needed to see them rot."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.utils.module_loading import import_string

from convalloc.celery import app
from convalloc.settings import COMPOSE_ONLY, DECLARED, read_env_file
from tests.architecture.sources import PRODUCT

BASE = Path(__file__).resolve().parents[2]
TEXT = (BASE / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
EXAMPLE = (BASE / ".env.example").read_text()
# Compose decides where the servers are; the folder and the file are a checkout's affair.
NOT_OF_CONTAINERS = {"DATABASE_OWNER_URL", "EMBEDDED_DIR", "ENV_FILE", "PORT"}


def shown() -> dict[str, tuple[str, str]]:
    """Name to (meaning, value) of each entry of .env.example, commented out or not."""
    entries = re.findall(r"^# (.+)\n#?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE)
    return {name: (meaning, value) for meaning, name, value in entries}


def test_has_the_services_of_one_machine() -> None:
    assert SERVICES.keys() == {"postgres", "redis", "migrate", "api", "worker", "timekeeper", "courier", "beat"}


def test_the_image_holds_the_product_and_nothing_else() -> None:
    (dockerfile,) = {SERVICES[name]["build"]["dockerfile_inline"] for name in OURS}

    copied = [source for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for source in line.split()[:-1]]

    assert set(copied) == {"requirements.txt", "manage.py", *PRODUCT}


@pytest.mark.parametrize("name", SERVICES)
class TestEachService:
    def test_is_checked_for_health_or_ends_by_itself(self, name: str) -> None:
        assert ("healthcheck" in SERVICES[name]) != (SERVICES[name]["restart"] == "no")

    def test_is_restarted_unless_it_is_one_shot(self, name: str) -> None:
        assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")

    def test_has_an_image_with_a_version(self, name: str) -> None:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+[a-z0-9.-]*", SERVICES[name]["image"])

    def test_runs_as_somebody_else_than_root(self, name: str) -> None:
        service = SERVICES[name]

        user = service.get("user") or re.findall(r"^USER (\S+)$", service["build"]["dockerfile_inline"], re.MULTILINE)[-1]

        assert user not in ("", "root")
        assert not user.startswith("0")

    def test_publishes_a_port_only_if_it_is_the_api_and_only_here(self, name: str) -> None:
        ports = SERVICES[name].get("ports", [])

        assert bool(ports) == (name == "api")
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_waits_for_what_exists(self, name: str) -> None:
        for other, how in SERVICES[name].get("depends_on", {}).items():
            one_shot = SERVICES[other]["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if one_shot else "service_healthy")

    def test_contains_no_password(self, name: str) -> None:
        words = {key: re.sub(r"\$\{[^}]+\}", "<>", str(value)) for key, value in SERVICES[name]["environment"].items()}

        assert [key for key, value in words.items() if re.search("PASSWORD|SECRET", key) and value != "<>"] == []
        assert [key for key, value in words.items() if re.search(r"://\w+:(?!<>@)", value) and "@" in value] == []

    @pytest.fixture(autouse=True)
    def complete(self, name: str) -> None:
        """A service without an environment has an empty one."""
        SERVICES[name].setdefault("environment", {})


@pytest.mark.parametrize("name", OURS)
class TestEachServiceOfOurs:
    def test_sets_only_settings_that_exist(self, name: str) -> None:
        assert SERVICES[name]["environment"].keys() - DECLARED.keys() == set()

    def test_takes_every_setting_that_env_example_offers(self, name: str) -> None:
        assert DECLARED.keys() - NOT_OF_CONTAINERS - SERVICES[name]["environment"].keys() == set()

    def test_runs_something_that_exists(self, name: str) -> None:
        command = SERVICES[name]["command"]

        if "manage.py" in command:
            assert command[command.index("manage.py") + 1] in get_commands()
        elif "celery" in command:
            assert app.main == command[command.index("-A") + 1]
            assert {"worker", "beat"} & set(command) == {"beat" if name == "beat" else "worker"}
        else:
            assert command[:2] == ["python", "-m"]
            assert callable(import_string(f"{command[2]}.main"))

    def test_is_checked_by_code_that_compiles(self, name: str) -> None:
        words = SERVICES[name].get("healthcheck", {}).get("test", [])

        if "python" in words:
            compile(words[-1], name, "exec")
        assert words or name == "migrate"

    def test_is_built_with_every_app(self, name: str) -> None:
        copied = re.findall(r"^COPY (\S+)", SERVICES[name]["build"]["dockerfile_inline"], re.MULTILINE)

        assert {app for app in settings.INSTALLED_APPS if (BASE / app).is_dir()} <= set(copied)
        assert [path for path in copied if not (BASE / path).exists()] == []


def test_every_queue_has_its_worker_and_deadlines_have_one_of_their_own() -> None:
    queues = set(app.amqp.queues)
    taken = {
        name: {service["command"][service["command"].index("--queues") + 1]} if "--queues" in service["command"] else queues
        for name, service in SERVICES.items()
        if "worker" in service.get("command", [])
    }

    assert taken == {"worker": queues, "timekeeper": {"deadlines"}, "courier": {"webhooks"}}


def test_nobody_waits_for_the_broker() -> None:
    assert [name for name, service in SERVICES.items() if "redis" in service.get("depends_on", {})] == []


def test_only_migrate_may_change_the_tables() -> None:
    assert [name for name in SERVICES if "DATABASE_OWNER_URL" in SERVICES[name].get("environment", {})] == ["migrate"]


def test_the_api_is_asked_whether_it_is_ready() -> None:
    assert "/api/v1/health/ready" in str(SERVICES["api"]["healthcheck"])


def test_postgres_makes_our_roles_and_keeps_its_data() -> None:
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["postgres"]["volumes"])

    (roles,) = [source for source, target in mounts.items() if target == "/docker-entrypoint-initdb.d/roles.sql"]
    (data,) = [source for source, target in mounts.items() if target == "/var/lib/postgresql/data"]

    asked = set(re.findall(r"^\\getenv \w+ (\w+)$", (BASE / roles).read_text(), re.MULTILINE))
    assert asked <= SERVICES["postgres"]["environment"].keys()
    assert data in COMPOSE["volumes"]


def test_env_example_explains_every_name_and_no_other() -> None:
    meanings = {name: declared[2] for name, declared in DECLARED.items() if name != "ENV_FILE"} | COMPOSE_ONLY

    assert {name: meaning for name, (meaning, _) in shown().items()} == meanings


def test_env_example_shows_the_defaults() -> None:
    values = {name: value for name, (_, value) in shown().items() if name in DECLARED}

    assert {name: DECLARED[name][0](value) for name, value in values.items() if value} == {
        name: DECLARED[name][1] for name in values if DECLARED[name][1] not in (None, "", [])
    }


def test_env_example_has_every_name_that_compose_reads() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", TEXT)) <= shown().keys()


def test_env_example_leaves_open_exactly_what_compose_needs() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))

    assert set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE)) == needed


def test_one_env_file_serves_compose_and_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = re.sub(r"^([A-Z_]+)=$", r"\1=abc", EXAMPLE, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(filled)
    for name in shown():
        monkeypatch.setenv(name, os.environ.get(name, ""))

    read_env_file(str(tmp_path / ".env"))

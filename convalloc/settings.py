"""Every setting of convalloc, in one place.

Read from the environment, then from a `.env` file beside manage.py. A name in `.env` that is not
declared here, or a value that does not parse, stops the start: a typo must not become a default.
"""

import os
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from convalloc.embedded import address_book
from convalloc.parsing import existing_file, log_level, networks, origins, server_url, switch, weight, whole, words

BASE_DIR = Path(__file__).resolve().parent.parent
POSTGRES = server_url("postgresql", "postgres")

# name: (parser, default, unit and reason). The README's table and .env.example are tested against this.
DECLARED: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "DEVELOPMENT": (
        switch,
        None,
        "true on a developer's machine only: X-Operator-Id is believed, a secret key is made up; empty: true on the embedded server",
    ),
    "DEBUG": (switch, False, "true shows Django's debug pages; never in production"),
    "SECRET_KEY": (str, "", "signs sessions; required outside development, 50 characters or more"),
    "ALLOWED_HOSTS": (words, ["127.0.0.1", "localhost"], "host names the API answers to, comma separated"),
    "ALLOWED_ORIGINS": (origins, [], "browser origins that may call the API (CORS), exact, comma separated; empty: none"),
    "PORT": (whole(1, 65535), 8000, "TCP port of the API"),
    "DATABASE_URL": (POSTGRES, "", "PostgreSQL as the runtime role (neither owner nor BYPASSRLS); empty: the embedded server"),
    "DATABASE_OWNER_URL": (POSTGRES, "", "PostgreSQL as the owner of the tables, for `manage.py migrate` only; empty: DATABASE_URL"),
    "DATABASE_CONN_MAX_AGE": (whole(0, 86400), None, "seconds a connection lives; empty: for ever, because a new one costs 4 ms a request"),
    "DATABASE_ANSWER_SECONDS": (
        whole(1, 3600),
        35,
        "seconds that a session may take for an answer before it is given up; longer than statement_timeout, which a frozen server forgets",
    ),
    "REDIS_URL": (server_url("redis", "rediss", "redis+socket"), "", "Celery's broker; empty: the embedded server"),
    "EMBEDDED_DIR": (str, "", "folder of the embedded servers' data; empty: var/ beside manage.py"),
    "SHUTDOWN_DELAY_SECONDS": (
        whole(0, 60),
        5,
        "seconds from SIGTERM, when /health/ready turns red, to the end of listening; longer than a load balancer takes to notice",
    ),
    "TICK_SECONDS": (whole(2, 60), 60, "seconds from one ring of the beat to the next: what is due is done within one and a moment"),
    "LOG_LEVEL": (log_level, "INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    "SECRET_KEY_FALLBACKS": (words, [], "former SECRET_KEYs, comma separated: what they signed and sealed stays good"),
    "ACCESS_TOKEN_SECONDS": (whole(60, 600), 600, "seconds that an access token is good for"),
    "REFRESH_TOKEN_DAYS": (whole(1, 90), 7, "days after which a client that did not go on must sign in again"),
    "SESSION_DAYS": (whole(1, 365), 30, "days after which every client must sign in again"),
    "CONSOLE_IDLE_MINUTES": (whole(1, 1440), 60, "minutes without a page after which the console asks for the password again"),
    "CONSOLE_SESSION_HOURS": (whole(1, 168), 12, "hours after which it asks in any case: a working day"),
    "TOKEN_ISSUER": (str, "convalloc", "who signs access tokens (iss); one name for each installation"),
    "TRUSTED_PROXIES": (
        whole(0, 9),
        None,
        "proxies in front of the API, whose X-Forwarded-For and X-Forwarded-Proto are believed; empty: 0 in development, else 1",
    ),
    "RATE_LIMIT_ADDRESS": (
        whole(0, 1_000_000),
        6000,
        "requests of one address in a minute, before anybody is asked for a name; 0: no limit",
    ),
    "RATE_LIMIT_CALLER": (whole(0, 1_000_000), 1200, "requests of one operator, or of one API key, in a minute; 0: no limit"),
    "RATE_LIMIT_TENANT": (whole(0, 10_000_000), 60_000, "requests of one tenant in a minute; 0: no limit"),
    "WEBHOOK_NETWORKS": (networks, [], "networks of ours that webhooks may lead into, such as 10.1.0.0/16, comma separated; empty: none"),
    "OPERATOR_HEADER_AUTH": (switch, None, "true believes the X-Operator-Id header without proof; empty: as DEVELOPMENT"),
    "PRIORITY_ALPHA": (weight, Decimal("0.4"), "a new tenant's weight of the number of messages, 0 to 100, four decimals"),
    "PRIORITY_BETA": (weight, Decimal("0.6"), "a new tenant's weight of the waiting time, 0 to 100, four decimals"),
    "GRACE_PERIOD_MINUTES": (whole(1, 10080), 15, "minutes that an offline operator of a new tenant keeps the work"),
    "DEFAULT_PAGE_LIMIT": (whole(1, 1000), 20, "rows of a page when the caller names no limit"),
    "MAX_PAGE_LIMIT": (whole(1, 1000), 100, "most rows of a page"),
    "MAX_CONVERSATION_FETCH": (
        whole(16, 1000),
        100,
        "candidates a pick reads of one inbox at a time; bounds reading, never what is locked",
    ),
    "ENV_FILE": (existing_file, str(BASE_DIR / ".env"), "the file with further settings, named in the environment; empty: none"),
}

# Names that only docker-compose.yml reads. They are known, so that one .env serves both.
COMPOSE_ONLY = {
    "POSTGRES_PASSWORD": "the superuser's password, who makes the two roles below and serves nobody",
    "CONVALLOC_OWNER_PASSWORD": "the password of the tables' owner, for migrations",
    "CONVALLOC_APP_PASSWORD": "the password of the runtime role, for the API and Celery",
    "POSTGRES_SHARED_BUFFERS": "memory that PostgreSQL keeps its pages in; a quarter of the machine's",
}


def read_env_file(path: str) -> None:
    """Take the settings of the .env file; a name that is not declared, or a line that is no setting, stops the start."""
    if not path or not Path(path).is_file():
        return
    names = set()
    for number, line in enumerate(Path(path).read_text(encoding="utf8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            setting = re.match(r"(?:export )?([A-Za-z0-9_]+)=", line)
            if setting is None:
                raise ImproperlyConfigured(f"{path}, line {number} is no NAME=value, without spaces around the name.")
            names.add(setting[1])
    if unknown := sorted(names - DECLARED.keys() - COMPOSE_ONLY.keys()):
        raise ImproperlyConfigured(f"{path} sets {', '.join(unknown)}, which convalloc does not know. Known: {', '.join(DECLARED)}.")
    environ.Env.read_env(path)


def read_settings() -> dict[str, Any]:
    """Every declared setting, parsed. Raises ImproperlyConfigured that names the setting and what it takes."""
    values = {}
    for name, (parse, default, meaning) in DECLARED.items():
        text = os.environ.get(name, "")
        try:
            values[name] = parse(text) if text else default
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} is refused: {error}. It takes: {meaning}.") from error
    return values


read_env_file(os.environ.get("ENV_FILE", str(BASE_DIR / ".env")))
S = read_settings()


# --- what this process is ---------------------------------------------------------------------
EMBEDDED_DIR = Path(S["EMBEDDED_DIR"] or BASE_DIR / "var")
SERVERS = address_book.read(EMBEDDED_DIR)  # what a running `manage.py up` wrote down; empty when none runs
DEVELOPMENT: bool = ("DATABASE_URL" in SERVERS and not S["DATABASE_URL"]) if S["DEVELOPMENT"] is None else S["DEVELOPMENT"]
DEBUG: bool = S["DEBUG"]
OPERATOR_HEADER_AUTH: bool = DEVELOPMENT if S["OPERATOR_HEADER_AUTH"] is None else S["OPERATOR_HEADER_AUTH"]
SECRET_KEY: str = S["SECRET_KEY"] or ("development-only-" * 4 if DEVELOPMENT else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is missing. Set it to 50 random characters or more, or DEVELOPMENT=true on a developer's machine (`make run` does)."
    )
SECRET_KEY_FALLBACKS: list[str] = S["SECRET_KEY_FALLBACKS"]
ALLOWED_HOSTS: list[str] = S["ALLOWED_HOSTS"]
PORT: int = S["PORT"]
SHUTDOWN_DELAY_SECONDS: int = S["SHUTDOWN_DELAY_SECONDS"]
ROOT_URLCONF = "convalloc.urls"
WSGI_APPLICATION = "convalloc.wsgi.application"
APPEND_SLASH = False  # both spellings are routes: a redirect would lose a POST's body
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["convalloc.formats"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "convalloc",
    "conversations",
    "labels",
    "operators",
    "tenants",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "operators.apps.ConsoleConfig",  # django.contrib.admin with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "convalloc.api.hearing.HeardOut",
    "convalloc.api.leaving.HangUp",
    "convalloc.api.requests.RequestIdentity",
    "convalloc.api.headers.NobodyElse",
    "convalloc.api.headers.ContentSecurity",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # what frame-ancestors is, for old browsers
    "convalloc.api.answers.DatabaseAway",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "convalloc.api.tls.OverTls",
    "convalloc.api.rates.PerAddress",
    "django.middleware.common.CommonMiddleware",  # refuses a Host that is not ours
    "operators.console.ActAsSignedIn",  # before the session, which is saved with the page or not at all
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

# --- where the data lives ---------------------------------------------------------------------
DATABASE_URL: str = S["DATABASE_URL"] or SERVERS.get("DATABASE_URL", "")
DATABASE_OWNER_URL: str = S["DATABASE_OWNER_URL"] or S["DATABASE_URL"] or SERVERS.get("DATABASE_OWNER_URL", "")
REDIS_URL: str = S["REDIS_URL"] or SERVERS.get("REDIS_URL", "")

# A server that is gone without a word, behind a cable or a firewall, is given up. Without these a request waits for minutes or for ever.
GIVE_UP = {
    "connect_timeout": 3,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds that what was sent may stay without an acknowledgement
    "keepalives_idle": 10,  # seconds of silence until the first question whether it is still there
    "keepalives_interval": 3,  # seconds from one such question to the next
    "keepalives_count": 3,
}


def database(url: str, *, answer_seconds: int | None = None) -> dict[str, Any]:
    """A Django database for one URL. Without a URL it refuses on first use, so that `manage.py help` and `up` still run."""
    if not url:
        return {"ENGINE": "django.db.backends.dummy"}
    parsed = environ.Env.db_url_config(url)
    return {
        **parsed,
        "OPTIONS": GIVE_UP | parsed.get("OPTIONS", {}),  # what the URL says itself comes first
        "ENGINE": "convalloc.database",
        "ANSWER_SECONDS": answer_seconds,
        "CONN_MAX_AGE": S["DATABASE_CONN_MAX_AGE"],
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode cannot keep one
    }


# `default` logs in as the runtime role, which row level security binds; `owner` is for `migrate` alone, which may take its time.
DATABASES = {"default": database(DATABASE_URL, answer_seconds=S["DATABASE_ANSWER_SECONDS"]), "owner": database(DATABASE_OWNER_URL)}
DATABASE_ROUTERS: list[str] = []

# --- who is calling ---------------------------------------------------------------------------
AUTH_USER_MODEL = "operators.Operator"
AUTHENTICATION_BACKENDS = ["operators.console.ConsoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
PASSWORD_HASHERS = ["operators.passwords.Argon2", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the first hashes, the others verify
LOGIN_URL, LOGIN_REDIRECT_URL = "/admin/login/", "/admin/"
TRUSTED_PROXIES: int = (0 if DEVELOPMENT else 1) if S["TRUSTED_PROXIES"] is None else S["TRUSTED_PROXIES"]
RATE_LIMIT_ADDRESS: int = S["RATE_LIMIT_ADDRESS"]
RATE_LIMIT_CALLER: int = S["RATE_LIMIT_CALLER"]
RATE_LIMIT_TENANT: int = S["RATE_LIMIT_TENANT"]
ACCESS_TOKEN_SECONDS: int = S["ACCESS_TOKEN_SECONDS"]
REFRESH_TOKEN_DAYS: int = S["REFRESH_TOKEN_DAYS"]
SESSION_DAYS: int = S["SESSION_DAYS"]
TOKEN_ISSUER: str = S["TOKEN_ISSUER"]

CORS_ALLOWED_ORIGINS: list[str] = S["ALLOWED_ORIGINS"]
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "traceparent", "x-operator-id", "x-request-id"]
CORS_ALLOW_HEADERS += ["idempotency-key", "if-match", "if-none-match"]
CORS_EXPOSE_HEADERS = ["etag", "idempotency-replayed", "link", "x-request-id", "retry-after", "ratelimit", "ratelimit-policy"]

SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"  # not "no-referrer": a browser then hides a form's origin, by which CSRF is told
# Another site sends neither cookie along, not even with a link: who follows one into the console signs in, or reloads the page.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEVELOPMENT
if not DEVELOPMENT:  # a browser takes these names with Secure and for this host alone: no neighbour under our domain can plant one
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
CONSOLE_IDLE_SECONDS: int = S["CONSOLE_IDLE_MINUTES"] * 60
SESSION_COOKIE_AGE = S["CONSOLE_SESSION_HOURS"] * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # not in a cookie of their own
SECURE_SSL_REDIRECT = not DEVELOPMENT
SECURE_REDIRECT_EXEMPT = [r"^api/v1/(?!docs)", r"^\.well-known/"]  # people are sent on, programs are refused: convalloc.api.tls
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 0 if DEVELOPMENT else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEVELOPMENT

# --- the API ----------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [f"operators.api.authentication.{name}" for name in ("SignedRequest", "Bearer", "OperatorHeader")],
    "DEFAULT_PERMISSION_CLASSES": ["operators.api.permissions.RoleMatrix"],
    "DEFAULT_RENDERER_CLASSES": ["convalloc.api.envelope.EnvelopeRenderer"],
    "DEFAULT_PARSER_CLASSES": ["convalloc.api.envelope.JSONBody"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "convalloc.api.envelope.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "convalloc.api.schema.EnvelopeSchema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is a browser's preflight, which CORS answers; to others it is 405
    "EXCEPTION_HANDLER": "convalloc.api.answers.explain",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "convalloc",
    "DESCRIPTION": "Hands customer conversations to human operators: the right one, once, at once, never forgotten.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "LICENSE": {"name": "ISC", "identifier": "ISC"},
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["convalloc.api.document.without_final_slash"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "conversations.api.events.with_kinds",
        "convalloc.api.document.completed",
    ],
    "ENUM_NAME_OVERRIDES": {"OperatorStatusName": "operators.models.Status", "ConversationState": "conversations.states.State"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
DEFAULT_PAGE_LIMIT: int = S["DEFAULT_PAGE_LIMIT"]
MAX_PAGE_LIMIT: int = S["MAX_PAGE_LIMIT"]
if DEFAULT_PAGE_LIMIT > MAX_PAGE_LIMIT:
    raise ImproperlyConfigured(f"DEFAULT_PAGE_LIMIT={DEFAULT_PAGE_LIMIT} is over MAX_PAGE_LIMIT={MAX_PAGE_LIMIT}.")

# --- what a new tenant starts with ------------------------------------------------------------
PRIORITY_ALPHA: Decimal = S["PRIORITY_ALPHA"]
PRIORITY_BETA: Decimal = S["PRIORITY_BETA"]
if PRIORITY_ALPHA == PRIORITY_BETA == 0:
    raise ImproperlyConfigured("PRIORITY_ALPHA and PRIORITY_BETA are both 0: nothing would order the queue.")
GRACE_PERIOD_MINUTES: int = S["GRACE_PERIOD_MINUTES"]
MAX_CONVERSATION_FETCH: int = S["MAX_CONVERSATION_FETCH"]

# --- background work (the beat table is in convalloc/celery.py) ----------------------------------
TICK_SECONDS: int = S["TICK_SECONDS"]
WEBHOOK_NETWORKS: list[Any] = S["WEBHOOK_NETWORKS"]
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True  # tasks report to the log and the event log; nobody waits for a result
CELERY_TASK_ACKS_LATE = True  # every task is idempotent: what a killed worker had in hand is delivered again
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # what was too big for one child would kill the next one too; the tick takes up what is left
CELERY_TASK_SOFT_TIME_LIMIT = 90  # seconds; twice a task's own turn (45): the transaction rolls back and the log says where it was
CELERY_TASK_TIME_LIMIT = 120  # seconds; for what does not even listen to that: the child is killed, and the next tick goes on
# A worker takes what it can begin at once; what waits, waits for whoever is free first. Not by a prefetch count of one for each child:
# that counts what has not been acknowledged, and what a frozen broker did not confirm in time would count for ever.
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 0  # no count
CELERY_WORKER_CONSUMER = "convalloc.consumer:Consumer"  # outlives a broker that dies while a message is in hand
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True  # the broker may come up last
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # and stay away for a weekend (left out, a worker ends after 100 attempts)
CELERY_TASK_PUBLISH_RETRY = False  # the API does not wait for an absent broker: the next tick does what was not sent
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 0,  # one attempt to connect (left out, it is three in six seconds)
    "socket_connect_timeout": 1,  # seconds
    "socket_timeout": 2,  # seconds; a stopped broker takes a request and never answers. Longer than the 1 s that a worker's BRPOP waits
    # Seconds until a killed worker's message goes to another one. Over CELERY_TASK_TIME_LIMIT, or what still runs would run twice.
    "visibility_timeout": 300,
}

# --- pages and logs ---------------------------------------------------------------------------
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step between a clone and a page
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
NAVIGATION = {  # the console's sidebar: group, then (name, icon, page)
    "Work": [
        ("Conversations", "forum", "conversations_conversation"),
        ("Grace periods", "hourglass_top", "conversations_graceperiod"),
        ("Assignments", "assignment_ind", "conversations_assignment"),
    ],
    "People": [
        ("Presence", "person_check", "operators_operatorstatus"),
        ("Who was there", "history_toggle_off", "operators_presenceperiod"),
        ("Operators", "group", "operators_operator"),
    ],
    "Organisation": [
        ("Inboxes", "inbox", "tenants_inbox"),
        ("Labels", "label", "labels_label"),
        ("Settings", "tune", "tenants_tenant"),
        ("Events", "history", "tenants_event"),
    ],
}
UNFOLD = {
    "SITE_TITLE": "convalloc",
    "SITE_HEADER": "convalloc",
    "SITE_SUBHEADER": "Who answers whom",
    "SITE_SYMBOL": "forum",
    "SITE_URL": None,
    "ACCOUNT": {"navigation": [{"title": "Second factor", "link": reverse_lazy("admin:second_factor")}]},
    "SIDEBAR": {
        "navigation": [
            {
                "title": group,
                "items": [{"title": name, "icon": icon, "link": reverse_lazy(f"admin:{page}_changelist")} for name, icon, page in items],
            }
            for group, items in NAVIGATION.items()
        ],
    },
}
LOGGING_CONFIG = "convalloc.logs.configure"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "convalloc.api.requests.RequestIdFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {request_id} {trace_id} {message}", "style": "{"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line", "filters": ["request"]}},
    "root": {"handlers": ["stdout"], "level": S["LOG_LEVEL"]},
    "loggers": {"convalloc.security": {"level": "INFO"}},  # whoever wants less to read does not go blind
}

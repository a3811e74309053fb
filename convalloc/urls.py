"""The table of contents: one line per resource. Both spellings of a path, with and without a final slash, are routes."""

from django.contrib import admin
from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from convalloc.api import health
from convalloc.api.docs import Docs, Schema
from conversations.api.contacts import Contacts
from conversations.api.conversations import Conversations, Recalculation
from conversations.api.events import Events
from conversations.api.grace_periods import GracePeriods
from conversations.api.inboxes import Inboxes
from conversations.api.ingest import Ingest
from conversations.api.labels import Labels
from conversations.api.operators import Operators
from conversations.api.tenant import OwnTenant
from operators.api import auth
from operators.api.api_keys import ApiKeys
from operators.api.me import Me
from operators.api.presence import Presence
from operators.api.sessions import Sessions
from operators.api.signing import Signatures, SigningSecrets
from operators.api.webhooks import Webhooks

router = SimpleRouter()
router.trailing_slash = "/?"
router.register("conversations", Recalculation, basename="recalculation")
router.register("conversations", Conversations, basename="conversation")
router.register("ingest", Ingest, basename="ingest")
router.register("contacts", Contacts, basename="contact")
router.register("operators", Operators, basename="operator")
router.register("grace-periods", GracePeriods, basename="grace-period")
router.register("operators", Presence, basename="presence")
router.register("operators", Sessions, basename="session")
router.register("inboxes", Inboxes, basename="inbox")
router.register("api-keys", ApiKeys, basename="api-key")
router.register("signing-secrets", SigningSecrets, basename="signing-secret")
router.register("signatures", Signatures, basename="signature")
router.register("webhooks", Webhooks, basename="webhook")
router.register("labels", Labels, basename="label")
router.register("events", Events, basename="event")

api = [
    re_path(r"^health/?$", health.Health.as_view(), name="health"),
    re_path(r"^health/live/?$", health.Live.as_view(), name="health-live"),
    re_path(r"^health/ready/?$", health.Ready.as_view(), name="health-ready"),
    re_path(r"^schema/?$", Schema.as_view(), name="schema"),
    re_path(r"^docs/?$", Docs.as_view(), name="docs"),
    re_path(r"^auth/token/?$", auth.Token.as_view(), name="auth-token"),
    re_path(r"^auth/refresh/?$", auth.Refresh.as_view(), name="auth-refresh"),
    re_path(r"^auth/logout/?$", auth.Logout.as_view(), name="auth-logout"),
    re_path(r"^me/?$", Me.as_view({"get": "retrieve"}, basename="me"), name="me"),
    re_path(r"^tenant/?$", OwnTenant.as_view({"get": "retrieve", "patch": "change"}, basename="tenant"), name="tenant"),
    *router.urls,
]

urlpatterns = [
    path("api/v1/", include(api)),
    path(".well-known/jwks.json", auth.jwks, name="jwks"),
    path("admin/", admin.site.urls),
]
handler400 = "convalloc.api.answers.bad_request"
handler403 = "convalloc.api.answers.forbidden"
handler404 = "convalloc.api.answers.no_such_route"
handler500 = "convalloc.api.answers.server_error"

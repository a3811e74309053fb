"""OpenAPI of the API: what each operation takes, gives and refuses, in the envelope that every answer has.

`documented` stands above an operation. Its docstring's first line is the summary, the rest the description; its id is its
name in the role matrix; who may call it, and what every door refuses, is told by the door itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer
from rest_framework import serializers

from convalloc.api.answers import CODES, SAFE, STATUS
from convalloc.api.envelope import BodyTooLarge
from convalloc.api.links import LINK, is_paged
from convalloc.api.versions import ETAG, IF_MATCH, IF_NONE_MATCH
from convalloc.errors import DomainError, Invalid, OutcomeUnknown
from convalloc.preconditions import Changed

Shape = type[serializers.Serializer[Any]]
Operation = TypeVar("Operation", bound=Callable[..., Any])

PATH_ID = OpenApiParameter(
    "id", {"type": "integer", "format": "int64", "minimum": 1}, OpenApiParameter.PATH, description="Another tenant's id is a 404."
)
SAMPLE_DETAILS = {"what": "Conversation", "holder": "Operator One", "state": "RESOLVED", "status": "OFFLINE", "needed": "MANAGER"}


class FieldError(serializers.Serializer[Any]):
    """One field of the question, and what is wrong with it."""

    field = serializers.CharField()
    message = serializers.CharField()


class Error(serializers.Serializer[Any]):
    """A refusal. `code` is stable and for machines, `message` is for people, `details` are further facts."""

    status = serializers.CharField(help_text="Always `error`.")
    message = serializers.CharField()
    code = serializers.CharField()
    errors = FieldError(many=True)  # type: ignore[assignment]  # a field of the answer, not the serializer's own
    details = serializers.DictField(required=False)


class ListMeta(serializers.Serializer[Any]):
    """About a whole list."""

    count = serializers.IntegerField()
    timestamp = serializers.DateTimeField()

    example = {"count": 1, "timestamp": "2026-01-05T10:00:00.000000Z"}


class Documented(NamedTuple):
    """What cannot be read from an operation's code.

    `shows`: where its example differs from the shape's. `or_many`: one, or a list of them, as the question asks. `or_body`: what else
    a question may be.
    `versioned`: it shows, or changes, one row that has a version (convalloc.api.versions).
    `bare`: an answer without the envelope, the same for all `statuses`.
    """

    data: Shape | None
    shows: Mapping[str, Any] = MappingProxyType({})
    many: bool = False
    or_many: bool = False
    nullable: bool = False
    meta: Shape | None = None
    message: str | None = None
    body: Shape | None = None
    or_body: Shape | None = None
    query: tuple[Shape, ...] = ()
    refuses: tuple[type[DomainError], ...] = ()
    statuses: tuple[int, ...] = (200,)
    bare: bool = False
    versioned: bool = False


def documented(data: Shape | None, *, method: str = "", **facts: Any) -> Callable[[Operation], Operation]:
    """Say what an operation takes, gives and refuses: the fields of Documented; `method` where one function serves several."""

    def note(operation: Operation) -> Operation:
        operation.__dict__.setdefault("documented", {})[method] = Documented(data, **facts)
        return operation

    return note


def noted(view: Any, method: str) -> Documented:
    """What `documented` says of the operation that a view is about to do."""
    name, method = getattr(view, "action", None) or method.lower(), "GET" if method == "HEAD" else method
    notes = getattr(getattr(view, name), "documented", {})
    if not {method, ""} & notes.keys():
        raise ImproperlyConfigured(f"{type(view).__name__}.{name} is not in the OpenAPI schema: put @documented(…) above it.")
    found: Documented = notes[method] if method in notes else notes[""]
    return found


class EnvelopeSchema(AutoSchema):
    """Reads `documented`; adds the envelope, the refusals and the examples."""

    @property
    def noted(self) -> Documented:
        """What `documented` says of the operation at hand."""
        return noted(self.view, self.method)

    def _map_serializer(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        schema = super()._map_serializer(serializer, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        return schema | {"additionalProperties": False} if direction == "request" and "oneOf" not in schema else schema

    def get_operation_id(self) -> str:
        basename = getattr(self.view, "basename", "") or type(self.view).__name__.lower()
        name = f"{basename}_{getattr(self.view, 'action', None) or ''}".strip("_").replace("-", "_")
        return f"{name}_by_{self.method.lower()}" if self.method in getattr(self._function, "documented", {}) else name

    def get_summary(self) -> str:
        return self._paragraphs[0].rstrip(".")

    def get_description(self) -> str:  # type: ignore[override]
        who = getattr(self.view, "who", lambda: "Open to anyone.")
        return "\n\n".join([*self._paragraphs[1:], who()])

    def get_override_parameters(self) -> list[Any]:
        headers: list[OpenApiParameter] = getattr(self.view, "headers_of", lambda method: [])(self.method)
        if self.noted.versioned:
            headers = [*headers, IF_NONE_MATCH if self.method in SAFE else IF_MATCH, ETAG]
        if self.method == "GET" and is_paged(self.noted.data, self.noted.meta):
            headers = [*headers, LINK]
        return [*([PATH_ID] if "{id}" in self.path else []), *self.noted.query, *headers]

    def get_request_serializer(self) -> Shape | PolymorphicProxySerializer | None:
        body, other = self.noted.body, self.noted.or_body
        if body is None or other is None:
            return body
        return PolymorphicProxySerializer(f"{body.__name__}Or{other.__name__}", serializers=[body, other], resource_type_field_name=None)

    def get_response_serializers(self) -> dict[str, OpenApiResponse]:  # type: ignore[override]  # spectacular takes it
        noted = self.noted
        schema, example = self._answer(noted)
        given = [OpenApiExample("success", value=example)]
        answers = {str(status): OpenApiResponse(schema, "Done" if status < 400 else "Not now", given) for status in noted.statuses}
        if noted.versioned and self.method in SAFE:
            answers["304"] = OpenApiResponse(None, "What you have is right.")
        return answers | ({} if noted.bare else self._refusals(noted))

    def get_examples(self) -> list[OpenApiExample]:
        bodies = [body for body in (self.noted.body, self.noted.or_body) if body]
        names = ["example", "another"]
        return [OpenApiExample(name, value=_example(body), request_only=True) for name, body in zip(names, bodies, strict=False)]

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False  # a list stands inside the envelope: never around it

    @property
    def _function(self) -> Any:
        return getattr(self.view, getattr(self.view, "action", None) or self.method.lower())

    @property
    def _paragraphs(self) -> list[str]:
        text = (self._function.__doc__ or "").strip()
        return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]

    def _answer(self, noted: Documented) -> tuple[dict[str, Any], Any]:
        """Schema and example of success."""
        data: dict[str, Any]
        example: Any
        if noted.data is None:
            data, example = {"type": "null"}, None
        else:
            data, example = self.resolve_serializer(noted.data(), "response").ref, _example(noted.data) | noted.shows
        if noted.bare:
            return data, example
        if noted.many:
            data, example = {"type": "array", "items": data}, [example]
        alternatives = ([{"type": "array", "items": data}] if noted.or_many else []) + ([{"type": "null"}] if noted.nullable else [])
        if alternatives:
            data = {"oneOf": [data, *alternatives]}
        properties: dict[str, Any] = {"status": {"const": "success"}, "message": {"type": "string"}, "data": data}
        body: dict[str, Any] = {"status": "success"} | ({"message": noted.message} if noted.message else {}) | {"data": example}
        meta = noted.meta or (ListMeta if noted.many else None)
        if meta:
            properties["meta"] = self.resolve_serializer(meta(), "response").ref
            body["meta"] = _example(meta)
        required = ["status", "data", *(["message"] if noted.message else [])]
        return {"type": "object", "properties": properties, "required": required}, body

    def _refusals(self, noted: Documented) -> dict[str, OpenApiResponse]:
        """Each status with its codes: those of every door, those of every question, and the operation's own."""
        error = self.resolve_serializer(Error(), "response").ref
        examples: dict[int, dict[str, Any]] = defaultdict(dict)
        of_every_door: tuple[type[DomainError], ...] = getattr(self.view, "refusals", lambda method: ())(self.method)
        invalid = (Invalid,) if of_every_door or noted.body or noted.query else ()  # a door refuses words that it does not know
        changed = (Changed,) if noted.versioned and self.method not in SAFE else ()
        for refusal in (*of_every_door, *invalid, *changed, *noted.refuses):
            examples[STATUS[refusal.kind]][refusal.code] = _told(refusal)
        if noted.body:
            examples[400]["malformed_json"] = _refused("The body must be a JSON object", "malformed_json")
            examples[413][CODES[413]] = _refused(BodyTooLarge.default_detail, CODES[413])
            examples[415][CODES[415]] = _refused('Unsupported media type "text/plain" in request.', CODES[415])
        if self.method not in SAFE:
            examples[503][OutcomeUnknown.code] = _told(OutcomeUnknown)
        examples[503]["unavailable"] = _refused("The service is busy or its database is away: try again", "unavailable")
        return {
            str(status): OpenApiResponse(
                error, f"`code`: {', '.join(sorted(told))}", [OpenApiExample(code, value=told[code]) for code in sorted(told)]
            )
            for status, told in sorted(examples.items())
        }


def _example(shape: Shape) -> Any:
    return getattr(shape, "example")  # noqa: B009  an attribute of ours, which a Serializer does not declare


def _refused(message: str, code: str, errors: Iterable[dict[str, str]] = ()) -> dict[str, Any]:
    return {"status": "error", "message": message, "code": code, "errors": list(errors)}


def _told(refusal: type[DomainError]) -> dict[str, Any]:
    template = (refusal.__doc__ or "").strip().splitlines()[0]
    errors = [{"field": "operator_id", "message": '"operator_id" is required'}] if refusal is Invalid else []
    return _refused(template.format_map(defaultdict(lambda: "…", SAMPLE_DETAILS)), refusal.code, errors)

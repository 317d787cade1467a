"""The route map: at most one route matches, and what it takes from a request is read in just one way or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.gateway import paths
from engine.adapters.gateway.paths import Refused, Target
from engine.adapters.gateway.profiles import Compiled
from engine.adapters.gateway.routes import Asked, Headers, Match, RouteMap
from engine.bundling.catalogue import Catalogue
from engine.bundling.routes import Route
from engine.bundling.source import load_source
from engine.decide.request import Entity
from ledger.model import JSON
from tests.bundling import example

STORED = "018f6d2e-7f2a-7b3c-8d4e-5f6a7b8c9d0e"


def route(**said: object) -> Route:
    """A route as routes.yaml has it."""
    plain = {"id": "r", "hosts": ["a.example"], "methods": ["GET"], "path": "/x", "action": "act"}
    return Route.model_validate({**plain, "resource": {"type": "thing", "id": "fixed"}, **said})


def asked(said: Route, target: str, headers: Headers = ()) -> Asked | Refused:
    """What a request of a.example asks by the only route that there is."""
    read = paths.read(target.encode())
    assert isinstance(read, Target), read
    found = RouteMap.of({"g": [said]}).match("a.example", said.methods[0], read.segments)
    assert found is not None
    return found.asked(read.query, headers)


def context(said: dict[str, object], target: str, headers: Headers) -> Mapping[str, JSON] | tuple[str, str, str]:
    """The context that a request has by one field of it, or why it is refused."""
    found = asked(route(context={"f": said}), target, headers)
    return (found.code, found.reason, found.field) if isinstance(found, Refused) else found.context


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The example of docs/routes.md."""
    source = example.source(tmp_path_factory.mktemp("page") / "source")
    return Catalogue({"source": load_source(source).data, "metadata": {"gates": {}}})


def what_it_is(routes: RouteMap, request: str) -> str:
    """A request of the page, in the page's words."""
    method, host, target = request.split(" ")
    read = paths.read(target.encode())
    if isinstance(read, Refused):
        return f"refused: `{read.code}`"
    match = routes.match(host, method, read.segments)
    if match is None:
        return "unmatched"
    found = match.asked(read.query, ())
    return f"refused: `{found.code}`" if isinstance(found, Refused) else f"`{match.route.said.id}`"


@pytest.mark.parametrize(("request_", "said"), example.requests())
def test_the_page_says_what_its_requests_are(page: Catalogue, request_: str, said: str) -> None:
    """Each line of its table, by its own files."""
    found = what_it_is(RouteMap.of(page.routes()), request_)
    assert found == said.partition(":")[0] if found == "unmatched" else found == said


def test_the_page_has_a_table() -> None:
    """Of matched, unmatched and refused requests."""
    assert len(example.requests()) == 12
    assert len({said.split(" ")[0].strip(":") for _, said in example.requests()}) == 5


def test_a_match_is_a_request(page: Catalogue) -> None:
    """Resource, properties and context from path, query, headers and the map itself."""
    match = RouteMap.of(page.routes(), ["exports"]).match(
        "api.companyos.example", "POST", ("v1", "customers", "ac me", "exports", "customers")
    )
    assert match is not None
    found = match.asked(b"to=warehouse%3A%2F%2Fanalytics", [(b"X-Request-Ticket", b" REQ-1 ")])
    assert isinstance(found, Asked)
    request = found.request(Entity(type="user", id="ada"))
    assert request.action == "data-export"
    assert request.resource == Entity(type="dataset", id="customers", properties={"customer": "ac me"})
    assert request.context == {
        "destination": "warehouse://analytics",
        "ticket": "REQ-1",
        "columns": ["customer_id", "plan", "country"],
    }


def test_a_profile_has_only_its_groups(page: Catalogue) -> None:
    """Another group's routes are unmatched; a group that is not there is an error."""
    assert RouteMap.of(page.routes(), ["exports"]).match("x", "PUT", ("clusters", "eu", "c1", "deployment")) is None
    assert RouteMap.of(page.routes(), ["operations"]).match("x", "PUT", ("clusters", "eu", "c1", "deployment"))
    with pytest.raises(KeyError):
        RouteMap.of(page.routes(), ["nobody"])


@pytest.mark.parametrize(
    ("written", "host", "matches"),
    [
        ("a.example", "a.example", True),
        ("a.example", "A.Example", True),
        ("a.example", "a.example.", True),
        ("a.example", "a.example:8443", True),
        ("a.example", "a.example.:443", True),
        ("a.example", "a.example..", False),
        ("a.example", "a.example:", False),
        ("a.example", "a.example:99999", False),
        ("a.example", "a.example:x", False),
        ("a.example", "a.example:80:80", False),
        ("a.example", "b.a.example", False),
        ("a.example", "ada@a.example", False),
        ("a.example", "a.example,b.example", False),
        ("a.example", " a.example", False),
        ("a.example", "a.example\n", False),
        ("a.example", "", False),
        ("k.example", "\u212a.example", False),
        ("10.0.0.1", "10.0.0.1:80", True),
        ("[2001:db8::1]", "[2001:DB8::1]:443", True),
        ("[2001:db8::1]", "[2001:db8:0:0:0:0:0:1]", True),
        ("[2001:db8::1]", "2001:db8::1", False),
        ("[fe80::1]", "[fe80::1%eth0]", False),
        ("[2001:db8::1]", "[2001:db8::1", False),
        ("[2001:db8::1]", "[2001:db8::1]x", False),
        ("*", "anything.example:80", True),
        ("*", "*", False),
        ("*", "", False),
        ("*", "a..b", False),
        ("*", "-a.example", False),
        ("*", "a" * 64, False),
        ("*", ".".join([*["a" * 63] * 3, "a" * 61]), True),
        ("*", ".".join([*["a" * 63] * 3, "a" * 62]), False),
        ("*", "a.example:65535", True),
        ("*", "a.example:65536", False),
        ("[2001:db8::1]", "[2001:db8::1]x80", False),
    ],
)
def test_a_host_is_compared_without_case_port_and_last_dot(written: str, host: str, matches: bool) -> None:
    """And what is no host matches nothing, not even the route of every host."""
    routes = RouteMap.of({"g": [route(hosts=[written])]})
    assert (routes.match(host, "GET", ("x",)) is not None) == matches


@pytest.mark.parametrize(
    ("method", "matches"),
    [("GET", True), ("HEAD", True), ("get", False), ("GETX", False), ("POST", False), ("", False), ("OPTIONS", False)],
)
def test_a_method_is_compared_exactly(method: str, matches: bool) -> None:
    """HEAD is judged as GET, and nothing else is anything but itself."""
    assert (RouteMap.of({"g": [route()]}).match("a.example", method, ("x",)) is not None) == matches


@pytest.mark.parametrize("segments", [(), ("X",), ("x", "x"), ("x", ""), ("y",), ("x ",)])
def test_a_path_is_compared_exactly(segments: tuple[str, ...]) -> None:
    """Case, length and every character."""
    assert RouteMap.of({"g": [route()]}).match("a.example", "GET", segments) is None


def test_the_root_is_matched_by_itself_alone() -> None:
    """It has no segments."""
    routes = RouteMap.of({"g": [route(path="/")]})
    assert routes.match("a.example", "GET", ()) is not None
    assert routes.match("a.example", "GET", ("a",)) is None


SEGMENTS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
TEMPLATES = st.lists(st.sampled_from(["a", "b", None]), max_size=4)


@given(st.lists(TEMPLATES, max_size=8), SEGMENTS)
def test_a_match_is_what_the_rule_says(drawn: list[list[str | None]], segments: list[str]) -> None:
    """Of routes that do not overlap, the one whose fixed segments are all equal, with the others as parameters."""

    def fits(template: list[str | None], given_: list[str]) -> bool:
        return len(template) == len(given_) and all(t is None or t == g for t, g in zip(template, given_, strict=True))

    apart: list[list[str | None]] = []
    for template in drawn:
        both = [o for o in apart if len(o) == len(template)]
        if not any(all(a is None or b is None or a == b for a, b in zip(o, template, strict=True)) for o in both):
            apart.append(template)
    written = ["/" + "/".join(s or f"{{p{i}}}" for i, s in enumerate(template)) for template in apart]
    routes = RouteMap.of({"g": [route(id=f"r{n}", path=path) for n, path in enumerate(written)]})
    found = routes.match("a.example", "GET", segments)
    fitting = [n for n, template in enumerate(apart) if fits(template, segments)]
    assert len(fitting) <= 1
    expected = fitting[0] if fitting else None
    assert (found.route.said.id if found else None) == (None if expected is None else f"r{expected}")
    if found is not None and expected is not None:
        values = {f"p{i}": segments[i] for i, s in enumerate(apart[expected]) if s is None}
        assert found.parameters == values


CONTEXTS: list[tuple[dict[str, Any], str, Headers, object]] = [
    ({"query": "q"}, "/x?q=a", (), {"f": "a"}),
    ({"query": "q"}, "/x?q=", (), {"f": ""}),
    ({"query": "q"}, "/x", (), {}),
    ({"query": "q", "required": True}, "/x?p=a", (), ("missing_context", "missing", "q")),
    ({"query": "q"}, "/x?q=a&q=a", (), ("ambiguous_query", "repeated", "q")),
    ({"query": "q"}, "/x?Q=a", (), ("ambiguous_query", "alias", "")),
    ({"query": "q"}, "/x?q=" + "a" * 4096, (), {"f": "a" * 4096}),
    ({"query": "q"}, "/x?q=" + "a" * 4097, (), ("too_long", "text_too_long", "q")),
    ({"query": "q", "type": "integer"}, "/x?q=12", (), {"f": 12}),
    ({"query": "q", "type": "integer"}, "/x?q=-1", (), {"f": -1}),
    ({"query": "q", "type": "integer"}, "/x?q=0", (), {"f": 0}),
    *[
        ({"query": "q", "type": "integer"}, f"/x?q={text}", (), ("wrong_type", "not_integer", "q"))
        for text in (
            "",
            "a",
            "01",
            "-0",
            "1.0",
            "1e3",
            "%2B1",
            "+1",
            "1+",
            "0x1",
            "1_000",
            "%D9%A1",
            "9" * 16,
            "1%E2%80%A8",
        )
    ],
    ({"query": "q", "type": "integer"}, "/x?q=" + "9" * 15, (), {"f": 10**15 - 1}),
    ({"query": "q", "type": "boolean"}, "/x?q=true", (), {"f": True}),
    ({"query": "q", "type": "boolean"}, "/x?q=false", (), {"f": False}),
    *[
        ({"query": "q", "type": "boolean"}, f"/x?q={text}", (), ("wrong_type", "not_boolean", "q"))
        for text in ("", "True", "1", "yes", "true+")
    ],
    ({"header": "x-t"}, "/x", [(b"x-t", b"a")], {"f": "a"}),
    ({"header": "x-t"}, "/x", [(b"X-T", b"\t a b ")], {"f": "a b"}),
    ({"header": "x-t"}, "/x", [(b"x-t", b"")], {"f": ""}),
    ({"header": "x-t"}, "/x", [(b"x-u", b"a")], {}),
    ({"header": "x-t", "required": True}, "/x", [(b"x-u", b"a")], ("missing_context", "missing", "x-t")),
    ({"header": "x-t", "type": "integer"}, "/x", [(b"x-t", b"7")], {"f": 7}),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a"), (b"X-T", b"a")], ("ambiguous_header", "repeated", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a, b")], ("ambiguous_header", "comma", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a"), (b"X_T", b"b")], ("ambiguous_header", "alias", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x.t", b"b")], ("ambiguous_header", "alias", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x~t", b"b")], ("ambiguous_header", "alias", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x\xe4t", b"b")], ("ambiguous_header", "alias", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"\xc3\xbc")], ("ambiguous_header", "text_byte", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a\nb")], ("ambiguous_header", "text_byte", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a\x00")], ("ambiguous_header", "text_byte", "x-t")),
    ({"header": "x-t"}, "/x", [(b"x-t", b"a" * 4097)], ("too_long", "text_too_long", "x-t")),
    ({"value": ["a", "b"]}, "/x?f=c", (), {"f": ["a", "b"]}),
    ({"value": False}, "/x", (), {"f": False}),
    ({"value": 0}, "/x", (), {"f": 0}),
]


@pytest.mark.parametrize(("said", "target", "headers", "expected"), CONTEXTS)
def test_a_field_of_the_context_is_read_strictly(
    said: dict[str, object], target: str, headers: Headers, expected: object
) -> None:
    """Its value, nothing where it need not be there, or the reason."""
    assert context(said, target, headers) == expected


def test_a_parameter_of_the_path_has_a_type_too() -> None:
    """And is refused where it has another."""
    said = route(path="/x/{n}", context={"f": {"path": "n", "type": "integer"}})
    found, odd = asked(said, "/x/12"), asked(said, "/x/012")
    assert isinstance(found, Asked)
    assert found.context == {"f": 12}
    assert isinstance(odd, Refused)
    assert (odd.code, odd.field) == ("wrong_type", "n")


def test_a_resource_that_is_too_long_is_refused() -> None:
    """An ID has 1,024 characters at most, a property 4,096."""
    said = route(path="/x/{a}", resource={"type": "thing", "id": "{a}", "properties": {"p": "q/{a}"}})
    found = asked(said, "/x/" + "a" * 1024)
    assert isinstance(found, Asked)
    assert found.resource == Entity(type="thing", id="a" * 1024, properties={"p": "q/" + "a" * 1024})
    odd = asked(said, "/x/" + "a" * 1025)
    assert isinstance(odd, Refused)
    assert odd.reason == "id_too_long"
    said = route(path="/x/{a}", resource={"type": "thing", "id": "t", "properties": {"p": "{a}"}})
    found = asked(said, "/x/" + "a" * 4096)
    assert isinstance(found, Asked)
    assert found.resource.properties == {"p": "a" * 4096}
    odd = asked(said, "/x/" + "a" * 4097)
    assert isinstance(odd, Refused)
    assert odd.reason == "text_too_long"


@pytest.mark.parametrize("kind", ["path", "query", "header"])
def test_a_reference_is_the_id_of_an_entry(kind: str) -> None:
    """From wherever the route takes it; nothing else is one."""
    said = route(
        path="/x/{ref}" if kind == "path" else "/x",
        request_ref={kind: "x-ref" if kind == "header" else "ref"},
    )
    for text, right in ((STORED, True), (STORED.upper(), False), ("latest", False), (STORED + "0", False)):
        target = f"/x/{text}" if kind == "path" else f"/x?ref={text}"
        found = asked(said, target, [(b"x-ref", text.encode())])
        if right:
            assert isinstance(found, Asked)
            assert found.request_ref == text
        else:
            assert isinstance(found, Refused)
            assert found.reason == "not_an_id"


def test_a_request_without_its_reference_is_refused() -> None:
    """A route that takes a stored request takes no other."""
    found = asked(route(request_ref={"query": "ref"}), "/x")
    assert isinstance(found, Refused)
    assert (found.code, found.field) == ("missing_context", "ref")


OVERRIDING: list[tuple[str, Headers]] = [
    ("/x", [(b"X-HTTP-Method-Override", b"DELETE")]),
    ("/x", [(b"x_http_method_override", b"DELETE")]),
    ("/x", [(b"x-http-method", b"DELETE")]),
    ("/x", [(b"x-method-override", b"")]),
    ("/x?_method=DELETE", ()),
    ("/x?a;%5Fmethod=x", ()),
]


@pytest.mark.parametrize(("target", "headers"), OVERRIDING)
def test_another_method_than_the_one_that_is_judged_is_refused(target: str, headers: Headers) -> None:
    """Unless the route says that the backend does not look."""
    odd = asked(route(), target, headers)
    assert isinstance(odd, Refused)
    assert odd.code == "method_override"
    assert isinstance(asked(route(method_override="allow"), target, headers), Asked)


PREFLIGHT: Headers = [(b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", b"PUT")]


@pytest.mark.parametrize(
    ("headers", "path", "passes"),
    [
        (PREFLIGHT, ("x",), True),
        (PREFLIGHT, ("y",), False),
        (PREFLIGHT, ("z",), False),
        (PREFLIGHT[:1], ("x",), False),
        (PREFLIGHT[1:], ("x",), False),
        ([*PREFLIGHT, PREFLIGHT[1]], ("x",), False),
        ([*PREFLIGHT, PREFLIGHT[0]], ("x",), False),
        ([PREFLIGHT[0], (b"access-control-request-method", b"put")], ("x",), False),
        ([PREFLIGHT[0], (b"access-control-request-method", b"DELETE")], ("x",), False),
    ],
)
def test_a_preflight_passes_where_the_route_says_so(headers: Headers, path: tuple[str, ...], passes: bool) -> None:
    """It is that of the method it asks for, and has both of its headers once."""
    routes = RouteMap.of({"g": [route(methods=["PUT"], preflight="pass"), route(id="s", path="/y", methods=["PUT"])]})
    found = routes.preflight("a.example", path, headers)
    assert (found is not None) == passes
    assert routes.preflight("b.example", path, headers) is None


@pytest.mark.parametrize(
    ("cors", "origin", "expected"),
    [
        (None, "https://a.example", {}),
        ({"origins": ["*"]}, None, {"Access-Control-Allow-Origin": "*"}),
        ({"origins": ["https://a.example"]}, "https://b.example", {"Vary": "Origin"}),
        ({"origins": ["https://a.example"]}, None, {"Vary": "Origin"}),
        (
            {"origins": ["https://b.example", "https://a.example"]},
            "https://a.example",
            {"Access-Control-Allow-Origin": "https://a.example", "Vary": "Origin"},
        ),
        (
            {"origins": ["https://a.example"], "credentials": True},
            "https://a.example",
            {
                "Access-Control-Allow-Origin": "https://a.example",
                "Access-Control-Allow-Credentials": "true",
                "Vary": "Origin",
            },
        ),
    ],
)
def test_a_page_that_is_listed_may_read_an_answer(
    cors: dict[str, object] | None, origin: str | None, expected: dict[str, str]
) -> None:
    """And no other; whoever may read it reads Muster's headers too."""
    found = RouteMap.of({"g": [route(cors=cors)]}).match("a.example", "GET", ("x",))
    assert found is not None
    headers = dict(found.route.cors_headers(origin))
    exposed = headers.pop("Access-Control-Expose-Headers", None)
    assert headers == expected
    assert ("Muster-Decision-Id" in (exposed or "")) == ("Access-Control-Allow-Origin" in expected)


EVERYTHING = route(
    path="/x/{a}/{b}",
    resource={"type": "thing", "id": "{a}"},
    context={
        "one": {"path": "b", "type": "boolean"},
        "two": {"query": "q", "type": "integer"},
        "three": {"header": "x-t", "required": True},
    },
    request_ref={"query": "ref"},
)


NAMES = st.sampled_from([b"x-t", b"X-T", b"x_t", b"", b"x-http-method"])


@settings(max_examples=300)
@given(
    st.binary(max_size=30).map(lambda b: b"/x/" + b),
    st.binary(max_size=30),
    st.lists(st.tuples(NAMES | st.binary(), st.binary()), max_size=4),
)
def test_whatever_comes_is_read_or_refused(target: bytes, query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """No bytes of path, query or headers raise anything, and what is read has its types."""
    read = paths.read(target)
    segments = read.segments if isinstance(read, Target) else ("x", "a", "true")
    found = RouteMap.of({"g": [EVERYTHING]}).match("a.example", "GET", segments)
    if found is None:
        return
    assert isinstance(found, Match)
    answer = found.asked(query, headers)
    if isinstance(answer, Asked):
        assert isinstance(answer.context["one"], bool)
        assert isinstance(answer.context.get("two", 0), int)
        assert isinstance(answer.context["three"], str)
    else:
        assert answer.reason in paths.REASONS


def test_the_map_cannot_be_changed(page: Catalogue) -> None:
    """It is that of its revision."""
    routes = RouteMap.of(page.routes())
    with pytest.raises(AttributeError):
        routes._tables = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        routes._tables["x", "GET", 1] = None  # type: ignore[index]


def test_what_a_tenant_has_active_is_compiled_once(page: Catalogue) -> None:
    """However many tenants there are, each with a revision of its own; those with the same one share it."""
    compiled = Compiled()
    tenants = {f"tenant{number}": f"revision{number}" for number in range(40)}
    first = {tenant: compiled.of(tenant, revision, page) for tenant, revision in tenants.items()}
    assert all(compiled.of(tenant, revision, page) is first[tenant] for tenant, revision in tenants.items())
    assert len({id(each) for each in first.values()}) == len(tenants)
    assert compiled.of("tenant0", "revision1", page) is first["tenant1"]
    assert compiled.of("tenant0", "revision40", page) is not first["tenant0"]

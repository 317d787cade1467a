"""The files for gateways: each mistake is told at its place, and no two routes can match one request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.bundling.catalogue import Catalogue
from engine.bundling.errors import Finding
from engine.bundling.gateways import Issuers
from engine.bundling.source import load_source, read_source
from engine.bundling.templates import Overlaps, PathTemplate, path_template, text_template
from tests.bundling import example

MORE = """
  - id: another
    hosts: [HOST]
    methods: [METHOD]
    path: PATH
    action: prod-change
    resource: {type: cluster, id: fixed}
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small source with the page's files, to be spoiled."""
    return example.small(tmp_path / "source")


def spoiled(folder: Path, file: str, before: str, after: str) -> list[Finding]:
    """What is found once a text of a file is another."""
    text = (folder / file).read_text("utf-8")
    assert before in text, "the case spoils nothing"
    (folder / file).write_text(text.replace(before, after, 1), "utf-8")
    return read_source(folder).findings


def test_the_example_is_in_order_and_part_of_the_data(tmp_path: Path) -> None:
    """All four files are in `data.source`, with their defaults, and are read back as they were written."""
    data = load_source(example.source(tmp_path / "source")).data
    catalogue = Catalogue({"source": data, "metadata": {"gates": {}}})
    assert catalogue.gateways()["edge"].deadline_ms == 800
    assert catalogue.gateways()["mesh"].deadline_ms == 150
    assert catalogue.issuers()["people"].leeway_seconds == 30
    assert catalogue.entities["dataset"]["customers"] == {"owner": "data-team", "regions": ["eu", "us"]}
    assert [route.id for route in catalogue.routes()["exports"]] == ["export-columns-for-billing", "run-stored-export"]
    for group, routes in catalogue.routes().items():
        again = [route.model_dump(mode="json", exclude_none=True) for route in routes]
        assert again == data["routes"][group]  # type: ignore[index, call-overload]


def test_a_source_without_them_says_nothing_of_them() -> None:
    """Its data has no key for a file that is not there, so its revision is what it was."""
    data = load_source(example.COMPANYOS).data
    assert not {"entities", "issuers", "gateways", "routes"} & data.keys()
    catalogue = Catalogue({"source": data, "metadata": {"gates": {}}})
    assert (catalogue.entities, catalogue.issuers(), catalogue.gateways(), catalogue.routes()) == ({}, {}, {}, {})


def test_a_source_that_exports_nothing_needs_no_list_of_exports(copy: Path) -> None:
    """A gate that asks for an allowlisted destination then finds none."""
    assert not (copy / "exports.yaml").exists()
    assert "exports" not in load_source(copy).data
    assert "exports" in load_source(example.COMPANYOS).data


def test_a_null_property_of_an_entity_is_kept(copy: Path) -> None:
    """It is what somebody wrote."""
    (copy / "entities.yaml").write_text("dataset: {customers: {owner: null, tags: {a: null}}}", "utf-8")
    assert load_source(copy).data["entities"] == {"dataset": {"customers": {"owner": None, "tags": {"a": None}}}}


def mistakes() -> dict[str, tuple[str, str, list[str]]]:
    """The cases of mistakes.yaml by name: the file, the text that is replaced, and the rest."""
    groups = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text("utf-8"))
    return {
        case[0]: (file, before, case[1:])
        for file, by_text in groups.items()
        for before, cases in by_text.items()
        for case in cases
    }


CASES = mistakes()


@pytest.mark.parametrize("name", ["entities", "issuers", "gateways", "routes"])
def test_a_file_that_says_nothing_is_a_mistake(copy: Path, name: str) -> None:
    """Whoever has nothing to say takes it out."""
    (copy / f"{name}.yaml").write_text("# soon\n", "utf-8")
    assert [(f.file, f.message) for f in read_source(copy).findings] == [(f"{name}.yaml", "is empty")]


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_place(copy: Path, case: str) -> None:
    """File, line, field, what is wrong and what to do."""
    file, before, (after, field, message, *hints) = CASES[case]
    findings = spoiled(copy, file, before, after)
    found = [f for f in findings if f.file == file and field in f.field and message in f.message]
    assert found, [str(f) for f in findings]
    assert all(f.line > 0 and all(hint in f.hint for hint in hints) for f in found)


RIGHT = [
    ("routes.yaml", "[api.companyos.example]", "[api.companyos.example, www.companyos.example]"),
    ("routes.yaml", '["*"]', '["[2001:db8::1]", 10.0.0.1, under_score.example]'),
    ("routes.yaml", "[PUT]", "[PUT, OPTIONS, M-SEARCH]"),
    ("routes.yaml", "{query: window}", "{header: x-window, type: string, required: true}"),
    ("routes.yaml", "{query: window}", "{value: 0}"),
    ("routes.yaml", "{header: x-change-ticket}", "{value: []}"),
    ("routes.yaml", "{request}\n", "{_request}\n"),
    ("routes.yaml", "/clusters/", "/a b/\u00fc.x/"),
    ("routes.yaml", '["https://app.companyos.example"]', '["http://localhost:8080"]'),
    ("routes.yaml", '["https://app.companyos.example"], credentials: true', '["*"]'),
    ("gateways.yaml", "{issuer: people}", "{header: x-forwarded-user, type: user}"),
    ("gateways.yaml", "[muster.companyos.example]", '["localhost:8080", "[::1]:80"]'),
    ("gateways.yaml", "gateway: nginx", "gateway: nginx\n  deadline_ms: 10"),
    ("gateways.yaml", "gateway: nginx", "gateway: nginx\n  deadline_ms: 5000"),
    ("issuers.yaml", "https://login.companyos.example", "http://127.0.0.1:8080/realm/"),
    ("issuers.yaml", "https://login.companyos.example", "http://[::1]:8080"),
    ("issuers.yaml", "typ: at+jwt", "jwks: https://keys.example/a/b.json\n  leeway_seconds: 0\n  max_age_hours: 168"),
    ("entities.yaml", "finance", "{a: 1, b: true, c: null}"),
    ("entities.yaml", "finance", "[a, 1, true, null]"),
]


@pytest.mark.parametrize(("file", "before", "after"), RIGHT)
def test_what_is_right_is_not_told(copy: Path, file: str, before: str, after: str) -> None:
    """Each of these is allowed, at its edge."""
    if "_request" in after:
        assert "no parameter request" in str(spoiled(copy, file, before, after))
        file, before, after = file, "{path: request}", "{query: request}"
    assert not spoiled(copy, file, before, after)


def test_a_path_has_64_segments_at_most() -> None:
    """As many as a request may have."""
    assert len(path_template("/a" * 64).segments) == 64
    with pytest.raises(ValueError, match="64 segments"):
        path_template("/a" * 65)


def test_groups_are_looked_for_where_there_is_a_file_of_them(copy: Path) -> None:
    """Without routes.yaml there is no group; with one that is broken, its own mistake is told and not this one."""
    (copy / "routes.yaml").write_text("exports: {}\n", "utf-8")
    assert {f.file for f in read_source(copy).findings} == {"routes.yaml"}
    (copy / "routes.yaml").unlink()
    assert [(f.file, f.field) for f in read_source(copy).findings] == [
        ("gateways.yaml", "edge.routes.0"),
        ("gateways.yaml", "mesh.routes.0"),
    ]


def test_a_redirect_leads_to_a_host_that_is_listed(copy: Path) -> None:
    """By each profile that serves the route."""
    (finding,) = spoiled(copy, "gateways.yaml", "  remedy_hosts: [muster.companyos.example]\n", "")
    assert (finding.file, finding.field) == ("routes.yaml", "exports.1.html")
    assert "the profile edge allows no host" in finding.message


def test_a_header_that_says_who_asks_is_no_context(copy: Path) -> None:
    """Of a profile that serves the route; another profile's header is context like any other."""
    spoil = ("gateways.yaml", "{metadata: envoy.filters.http.jwt_authn, issuer: people}")
    assert not spoiled(copy, *spoil, "{header: x-request-ticket, type: user}")
    (finding,) = spoiled(copy, "gateways.yaml", "{issuer: people}", "{header: x-request-ticket, type: user}")
    assert (finding.file, finding.field) == ("routes.yaml", "exports.0.context.ticket.header")
    assert "in the profile edge" in finding.message


SECOND = "\nother:\n  issuer: https://ISSUER\n  audience: [a]\n  algorithms: [ES256]\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (SECOND.replace("ISSUER", "partner.example"), "one could be taken for another"),
        (SECOND.replace("ISSUER", "partner.example") + "  same_people_as: [people]\n", None),
        (SECOND.replace("ISSUER", "partner.example") + "  subject: {type: partner}\n", None),
        (SECOND.replace("ISSUER", "login.companyos.example"), None),
        (SECOND.replace("ISSUER", "login.companyos.example") + "  subject: {claim: oid}\n", "a person has one ID"),
    ],
)
def test_a_person_of_one_issuer_is_not_taken_for_one_of_another(copy: Path, more: str, message: str | None) -> None:
    """Two issuers of one type are refused unless somebody says that their IDs are the same people."""
    with (copy / "issuers.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    told = [f"{f.message} {f.hint}" for f in read_source(copy).findings]
    assert bool(told) == (message is not None), told
    assert not message or message in told[0]


def test_either_issuer_may_say_that_its_people_are_those_of_the_other(copy: Path) -> None:
    """It is said once, and holds for both."""
    assert not spoiled(
        copy, "issuers.yaml", "typ: at+jwt\n", "same_people_as: [other]" + SECOND.replace("ISSUER", "partner.example")
    )


@pytest.mark.parametrize(
    ("host", "method", "path", "meets"),
    [
        ('"*"', "PUT", "/clusters/eu/c1/deployment", True),
        ('"*"', "PUT", "/clusters/eu/{c}/{x}", True),
        ("api.example", "PUT", "/clusters/eu/{c}/deployment", True),
        ('"*"', "PUT", "/{a}/{b}/{c}/deployment", True),
        ('"*"', "POST", "/clusters/eu/c1/deployment", False),
        ('"*"', "PUT", "/clusters/eu/c1/Deployment", False),
        ('"*"', "PUT", "/clusters/eu/c1", False),
        ('"*"', "PUT", "/clusters/eu/c1/deployment/now", False),
    ],
)
def test_two_routes_that_can_match_one_request_are_refused(
    copy: Path, host: str, method: str, path: str, meets: bool
) -> None:
    """Same method, a host in common, and no fixed segment that tells them apart; the finding names both lines."""
    more = MORE.replace("HOST", host).replace("METHOD", method).replace("PATH", path)
    names = {name: f"_{name}" for name in "abcx"}
    for name, unused in names.items():
        more = more.replace(f"{{{name}}}", f"{{{unused}}}")
    with (copy / "routes.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    text = (copy / "routes.yaml").read_text("utf-8").splitlines()
    told = [f for f in read_source(copy).findings if "can match" in f.message]
    assert len(told) == meets
    if meets:
        assert told[0].field == "operations.1.path"
        assert text[told[0].line - 1].strip().startswith("path:")
        line = next(n for n, t in enumerate(text, 1) if t.strip() == "- id: deploy")
        assert f"of deploy (line {line})" in told[0].message


def test_groups_are_held_against_each_other_where_one_profile_serves_both(copy: Path) -> None:
    """Two gateways may give one path two meanings; one gateway may not."""
    more = "\nmore:" + MORE.replace("HOST", '"*"').replace("METHOD", "PUT")
    with (copy / "routes.yaml").open("a", encoding="utf-8") as file:
        file.write(more.replace("PATH", "/clusters/{_r}/{_c}/deployment"))
    assert not read_source(copy).findings
    (finding,) = spoiled(copy, "gateways.yaml", "[operations]", "[operations, more]")
    assert finding.field == "more.0.path"


def test_a_host_of_its_own_meets_the_route_of_every_host_written_later(copy: Path) -> None:
    """In either order."""
    more = MORE.replace("METHOD", "POST")
    with (copy / "routes.yaml").open("a", encoding="utf-8") as file:
        file.write(more.replace("HOST", "a.example").replace("PATH", "/x/{_y}"))
        file.write(more.replace("HOST", '"*"').replace("PATH", "/x/y").replace("another", "yet-another"))
    (finding,) = read_source(copy).findings
    assert finding.field == "operations.2.path"
    assert "of another" in finding.message


def can_meet(one: PathTemplate, other: PathTemplate) -> bool:
    """Whether some path matches both: said segment by segment, as the rule is written."""
    pairs = zip(one.segments, other.segments, strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)


PATHS = st.lists(st.sampled_from(["a", "b", None]), min_size=3, max_size=3)


@given(st.lists(PATHS, max_size=12))
def test_overlaps_are_exactly_those_of_the_rule(drawn: list[list[str | None]]) -> None:
    """Of each path, the first that was entered before it and that some path matches as well."""
    paths = [PathTemplate(tuple(segments), tuple("xyz"[: segments.count(None)])) for segments in drawn]
    overlaps = Overlaps()
    for number, path in enumerate(paths):
        expected = next((n for n in range(number) if can_meet(paths[n], path)), None)
        assert overlaps.met(path) == expected
        overlaps.add(path, number)


@pytest.mark.parametrize("text", ["/{id", "/xid}", "/id}", "/a{b", "/{}", "/{1}", "/{a}{b}", "/{a b}"])
def test_half_a_parameter_is_none(text: str) -> None:
    """Nor is it a text: somebody meant one."""
    with pytest.raises(ValueError, match="segment 1 is no parameter"):
        path_template(text)


@pytest.mark.parametrize("text", ["a}", "{a", "{a}}", "{{a}"])
def test_a_brace_of_no_parameter_is_no_text(text: str) -> None:
    """On either side."""
    with pytest.raises(ValueError, match="brace that belongs to no parameter"):
        text_template(text)


def test_an_overlap_is_found_with_what_was_entered_after_the_last_look() -> None:
    """Whichever kinds of paths were looked at before."""
    overlaps = Overlaps()
    overlaps.add(path_template("/a/{x}"), 0)
    assert overlaps.met(path_template("/{y}/b")) == 0
    assert overlaps.met(path_template("/c/{z}")) is None
    overlaps.add(path_template("/c/{x}"), 1)
    overlaps.add(path_template("/{y}/b"), 2)
    assert overlaps.met(path_template("/c/{z}")) == 1
    assert overlaps.met(path_template("/c/b")) == 1
    assert overlaps.met(path_template("/d/b")) == 2
    assert overlaps.met(path_template("/d/c")) is None


@pytest.mark.parametrize(
    ("letter", "right"),
    [("\\x1f", False), (" ", True), ("~", True), ("\\x7f", False), ("\\x9f", False), ("\\xa0", True), ("\u00fc", True)],
)
def test_an_id_of_an_entity_has_no_control_character(copy: Path, letter: str, right: bool) -> None:
    """Of either kind."""
    (copy / "entities.yaml").write_text(f'dataset: {{"a{letter}b": {{}}}}\n', "utf-8")
    assert bool(read_source(copy).findings) != right


def test_a_deadline_that_is_said_is_kept(copy: Path) -> None:
    """Also where the gateway has one of its own."""
    assert not spoiled(copy, "gateways.yaml", "envoy-grpc", "envoy-grpc\n  deadline_ms: 500")
    catalogue = Catalogue({"source": load_source(copy).data, "metadata": {"gates": {}}})
    assert catalogue.gateways()["mesh"].deadline_ms == 500


@pytest.mark.parametrize("name", ["entities", "issuers", "gateways", "routes"])
@pytest.mark.parametrize(
    "text", ["x", "[]", "{a: b}", "{a: [b]}", "{a: {b: c}}", "{a: [{b: c}]}", "{a: null}", "{1: {}}"]
)
def test_another_shape_is_told_and_never_raises(copy: Path, name: str, text: str) -> None:
    """Whatever stands in a file."""
    (copy / f"{name}.yaml").write_text(text, "utf-8")
    assert any(f.file == f"{name}.yaml" for f in read_source(copy).findings)


@pytest.mark.parametrize(("value", "right"), [([1] * 256, 1), ([1] * 257, 0), ("a" * 4096, 1), ("a" * 4097, 0)])
def test_a_property_of_an_entity_has_an_end(copy: Path, value: object, right: bool) -> None:
    """256 parts, and 4,096 characters: those of a request."""
    (copy / "entities.yaml").write_text(f"dataset: {{customers: {{x: {value}}}}}\n", "utf-8")
    assert bool(read_source(copy).findings) != right


def test_the_root_is_a_path() -> None:
    """Of no segments."""
    assert path_template("/") == PathTemplate((), ())


def test_the_page_names_every_field(copy: Path) -> None:
    """Each field of a route, a profile and an issuer stands in the reference."""
    page = example.PAGE.read_text("utf-8")
    catalogue = Catalogue({"source": load_source(copy).data, "metadata": {"gates": {}}})
    models = [*catalogue.issuers().values(), *catalogue.gateways().values(), *catalogue.routes()["exports"]]
    for name in {name for model in models for name in type(model).model_fields}:
        assert f"| `{name}` |" in page, name


def test_the_issuers_of_the_page_on_identity_are_issuers_of_a_source() -> None:
    """Each provider's example stands as it is written there."""
    page = (example.ROOT / "docs" / "identity.md").read_text("utf-8")
    found = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert sum(len(Issuers.model_validate(yaml.safe_load(block)).root) for block in found) >= 4

"""What people read that belongs to no module: titles, policies and runbooks of the source, in every language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.bundling import folder
from engine.bundling.errors import Finding
from engine.bundling.source import Source
from engine.bundling.yamlfile import Document, parse
from ledger.model import JSON

TITLED = ("personas", "tracks", "scopes", "actions")
SOURCE_LOCALE = "en"
COMMON = "common"
"""In a translation of gates: what every gate asks."""


@dataclass(frozen=True, slots=True)
class Site:
    """Texts by locale and file; what a locale does not have is shown in the source's language."""

    texts: Mapping[str, Mapping[str, JSON]]

    def locales(self) -> tuple[str, ...]:
        """The languages that there is something in."""
        return tuple(sorted(self.texts))

    def entry(self, locale: str, file: str, key: str) -> dict[str, JSON] | None:
        """What a file says of a key, in a language, over what it says in the source's; None if nothing does."""
        found = [_entry(self.texts.get(name, {}), file, key) for name in (SOURCE_LOCALE, locale)]
        own = [f for f in found if f is not None]
        return {k: v for f in own for k, v in f.items()} if own else None

    def title(self, locale: str, file: str, key: str) -> str:
        """A title, or the key where there is none."""
        entry = self.entry(locale, file, key)
        return str(entry["title"]) if entry and "title" in entry else key

    def gate(self, locale: str, action: str, code: str) -> dict[str, str]:
        """Title and message of a gate's requirement in another language; nothing in the source's own."""
        entries = (_entry(self.texts.get(locale, {}), "gates", name) for name in (action, COMMON))
        words = next((e[code] for e in entries if e and code in e), None)
        return {k: str(v) for k, v in words.items()} if isinstance(words, dict) else {}


def read_site(files: folder.Files) -> Site:
    """Read the words of a source that was checked."""
    texts: dict[str, dict[str, JSON]] = {SOURCE_LOCALE: {}}
    for path, data in sorted(files.items()):
        parts = path.split("/")
        locale, name = (parts[1], parts[2]) if parts[0] == "i18n" and len(parts) == 3 else (SOURCE_LOCALE, parts[-1])
        texts.setdefault(locale, {})[name.removesuffix(".yaml")] = parse(data, path).value
    return Site(texts)


def check(source: Source, gates: Mapping[str, Iterable[str]]) -> list[Finding]:
    """Every mistake in a source's translations; `gates` has the requirement codes of each action."""
    documents: list[Document] = []
    locales = sorted({p.split("/")[1] for p in source.words if p.startswith("i18n/") and p.count("/") == 2})
    stray = [p for p in sorted(source.words) if p.startswith("i18n/") and p.count("/") != 2]
    for path in stray:
        document = Document(path)
        document.note(1, "", "is not a translation", "put it into i18n/<language>/")
        documents.append(document)
    wanted: dict[str, dict[str, set[str]]] = {
        **{file: {key: {"title"} for key in source.names(file)} for file in TITLED},
        "policies": {key: {"title", "summary"} for key in source.names("policies")},
        "runbooks": {key: {"title", "steps"} for key in source.names("runbooks")},
        "gates": {action: set(codes) for action, codes in gates.items()},
    }
    for locale in locales:
        for file, keys in wanted.items():
            path = f"i18n/{locale}/{file}.yaml"
            if path not in source.words:
                document = Document(path)
                document.note(1, "", "is missing", "write it: a language is there whole or not at all")
            else:
                document = parse(source.words[path], path)
                _check(document, file, keys, source)
            documents.append(document)
    return sorted({f for d in documents for f in d.findings})


def _check(document: Document, file: str, wanted: Mapping[str, set[str]], source: Source) -> None:
    value = document.value
    if not isinstance(value, dict):
        document.note(1, "", "is not a mapping", "use the keys of the file that it translates")
        return
    for key in sorted(wanted.keys() - value.keys()):
        document.note(1, key, "is not translated", "add it")
    for key in value.keys() - wanted.keys():
        document.wrong((key,), "is not in the file that this translates", "remove it")
    for key in value.keys() & wanted.keys():
        texts = value[key]
        if not isinstance(texts, dict) or texts.keys() != wanted[key]:
            document.wrong((key,), f"has not the texts {', '.join(sorted(wanted[key]))}", "those, and nothing else")
        elif file == "runbooks":
            own = getattr(source.names("runbooks")[key], "steps", [])
            steps = texts["steps"]
            if not isinstance(steps, list) or len(steps) != len(own):
                document.wrong((key, "steps"), f"has not {len(own)} steps", "translate each one")


def _entry(texts: Mapping[str, JSON], file: str, key: str) -> dict[str, JSON] | None:
    table = texts.get(file)
    found = table.get(key) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else None

"""Files that people write: any bytes give a document or an error with its place, and each key has its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.documents import Document, DocumentError, parse_document, read_document, shown

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)
NAMES = st.text("abc-_1", min_size=1, max_size=4)
KEYS = NAMES | WORDS
LEAVES = (
    st.integers(-9, 9)
    | st.booleans()
    | WORDS
    | st.lists(st.integers(0, 3), max_size=3)
    | st.just("one\ntwo\n[three]\n")
)
TABLES = st.dictionaries(KEYS, LEAVES, max_size=4)
BLANKS = st.sampled_from(["", "\n", "# [x] = '''\n\n"])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def written(value: object) -> str:
    if (
        isinstance(value, str)
        and "\n" in value
        and value.isascii()
        and '"' not in value
        and "\\" not in value
    ):
        return f'"""{value}"""'
    if isinstance(value, list):
        return "[\n" + "".join(f"  {item},\n" for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=150, deadline=None)
@given(TABLES, st.lists(st.tuples(TABLES, TABLES), max_size=3), BLANKS)
def test_each_key_of_a_toml_file_has_the_line_on_which_it_begins(
    top: dict[str, object], rules: list[tuple[dict[str, object], dict[str, object]]], blank: str
) -> None:
    text, lines = "", dict[tuple[str | int, ...], int]()

    def say(line: str, *path: str | int) -> None:
        nonlocal text
        text += blank
        lines[path] = text.count("\n") + 1
        text += line + "\n"

    top.pop("rules", None)
    for key, value in top.items():
        say(f"{quoted(key)} = {written(value)}", key)
    for number, (rule, inner) in enumerate(rules):
        rule.pop("inner", None)
        say("[[rules]]", "rules", number)
        for key, value in rule.items():
            say(f"{quoted(key)} = {written(value)}", "rules", number, key)
        say("[rules.inner]", "rules", number, "inner")
        for key, value in inner.items():
            say(f"{quoted(key)} = {written(value)}", "rules", number, "inner", key)
    document = parse_document(text.encode(), "x.toml")
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.line_of(["no such"]) is None
    for number in range(len(rules)):
        # What is missing is said of the table around it.
        assert document.line_of(["rules", number, "no such"]) == lines["rules", number]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), st.lists(TABLES, max_size=3), max_size=3), st.sampled_from([None, 1])
)
def test_each_key_of_a_json_file_has_its_line(
    value: dict[str, list[dict[str, object]]], indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)
    document = parse_document(text.encode(), "x.json", is_json=True)
    for key, rules in value.items():
        for number, rule in enumerate(rules):
            for name in rule:
                line = document.line_of([key, number, name])
                assert line is not None
                assert json.dumps(name) in text.split("\n")[line - 1]


@settings(max_examples=400, deadline=None)
@given(
    st.binary(max_size=60) | st.text("abc=[]{}\"'\n.,#1e\\u0x-:T ", max_size=60).map(str.encode),
    st.booleans(),
)
def test_any_bytes_are_a_document_or_an_error_with_its_place(content: bytes, is_json: bool) -> None:
    found: Document | DocumentError
    try:
        found = parse_document(content, "some.file", is_json=is_json)
    except DocumentError as error:
        found = error
    if isinstance(found, DocumentError):
        assert str(found).startswith("some.file:")
    else:
        found.line_of(["a", 0, "b"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = \xff\n", "x.toml:2: it is not UTF-8"),
        (b"a = 1\nb =\n", "x.toml:2: Invalid value"),
        (b"a = 1\na = 2\n", "x.toml:2: Cannot overwrite"),
        (b'a = 1\n\nb = """x\n', "x.toml:4: "),
        (b"# one\r\na = 1\r\nb = " + b"1" * 5000 + b"\r\n", "x.toml:3: Exceeds the limit"),
        (b"a = 1\nb = " + b"[" * 100_000 + b"\n", "x.toml:2: it is nested too deeply"),
        ("a = 1\n[b]\nc = 'x\u2028y'\nd = e".encode(), "x.toml:4: "),
    ],
)
def test_what_is_no_document_is_said_with_its_line(content: bytes, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(content, "x.toml")
    assert str(caught.value).startswith(said)


def test_a_file_of_long_texts_is_searched_in_time_that_grows_with_its_size() -> None:
    lines = [f"[{number}]" for number in range(20_000)]
    text = "a = [\n" + ",\n".join(lines) + "\n]\nb = 1\n"
    # The end of so many brackets is not worth the search: then no line is said, and no wrong one.
    assert parse_document(text.encode(), "x").line_of(["b"]) in (None, 20_002)
    text = 'a = """\n' + "word\n" * 100_000 + '"""\nb = 1\n'
    assert parse_document(text.encode(), "x").line_of(["b"]) == 100_003


def test_a_number_that_python_does_not_write_is_shown_without_it() -> None:
    assert shown(16**5000) == "such a number"


def test_what_is_no_plain_file_is_said(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "it is no plain file"), (tmp_path / "x", "No such file")):
        with pytest.raises(DocumentError) as caught:
            read_document(path)
        assert str(caught.value) == f"{path}: {reason}"
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (2 << 20))
    with pytest.raises(DocumentError, match="larger than"):
        read_document(large)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 5000, "too long"),
        ("a/b.toml", "Not a directory"),
        ("nul\0.toml", "null"),
        (".", "no plain file"),
    ],
)
def test_a_path_that_the_system_refuses_is_an_error_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(DocumentError, match=f"(?i){said}") as caught:
        read_document(tmp_path / name)
    assert "\n" not in str(caught.value)

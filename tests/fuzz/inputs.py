"""Strategies: valid files with a few things done to them, and trees of options with odd values."""

import json

import yaml
from hypothesis import strategies as st

DIGITS = "9" * 400  # more than a float holds
MANY_DIGITS = "9" * 5000  # more than Python reads as an int
DEEP = 3000  # more than Python's recursion limit

# What has broken readers of text: bytes, so that broken encodings are among them.
TEXT_PIECES = [
    *(b"", b"\0", b"\n", b"\r", b"\r\n", b"\t", b" ", b"\x1c", b"\x0c", b"\x1b[31m"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\\ud800", b"\\u0000"),
    *(s.encode() for s in ("\x85", "\u2028", "\u202e", "\u200b", "é", "e\u0301", "ﷺ" * 8, "🙂")),
    *(s.encode() for s in ("½", "١٢", "²", "İ", "ß", "'", '"', '""', "\\", "/", "..", "../x", "$")),
    *(b"0", b"-1", b"1e999", b"nan", b"inf", b"-0.0", b"0x10", b"1_000", b"null", b"true"),
    *(DIGITS.encode(), MANY_DIGITS.encode(), b"a" * 300, b"a" * 5000, b",", b"=", b"#", b"<b>"),
]
JSON_PIECES = [
    *(b"{", b"}", b"[", b"]", b":", b'{"a":' * DEEP, b"[" * DEEP, b"NaN", b"-Infinity", b"1e400"),
    *(b'"\\ud800"', b'"\\udcff"', b'"\\u0000"', b"[]", b"{}", b"null", b'"id": "u1", "id": "u2",'),
]
YAML_PIECES = [
    *(b"&a ", b"*a", b"&a [*a, *a]", b"<<: *a", b"<<: [1]", b"? ", b"- ", b": ", b"| ", b"---\n"),
    *(b"!!python/object/apply:os.system [touch taken]", b"!!python/name:os.system ", b"!!int x"),
    *(b"!!float x", b"!!timestamp x", b"!!bool x", b"!!map x", b"!!set {a, b}", b"!!binary YQ==\n"),
    *(
        b"!!omap [a: 1]",
        b"!!pairs [a: 1]",
        b"!!map [1]",
        b"!!str [1]",
        b"2020-13-45",
        b"2020-01-01",
    ),
    *(
        b".inf",
        b".nan",
        b"1e-3",
        b"0o9",
        b"0b",
        b"12:99:99",
        b"190:20:30",
        b"~",
        b"=",
        b"%YAML 9\n",
    ),
    *(b"[" * DEEP, b"{a: " * DEEP, b"- " * DEEP, b'"\\ud800"', b'"\\0"', b'"\\x85"', b"{", b"'"),
    *(b"{a: 1, a: 2}", b"{[1]: 2}", b"{{a: 1}: 2}", b"!", b"!!", b"!<x> y", b"@", b"`", b"\t"),
]
_EDITS = st.tuples(
    st.sampled_from(
        ["insert", "replace", "delete", "double", "swap", "cut", "flip", "line", "turn"]
    ),
    st.integers(0, 1 << 16),
    st.integers(0, 1 << 16),
    st.integers(0, 1 << 16),
)


def damaged(*valid, pieces=(), edits=5):
    """Draw one of the valid files with up to `edits` things done to its bytes, lines and fields."""
    known = [*TEXT_PIECES, *pieces]
    base = st.sampled_from(valid)
    wild = st.binary(max_size=200)
    return st.one_of(
        *[st.builds(_edited, base, st.lists(_EDITS, max_size=edits), st.just(known))] * 9, wild
    )


def _edited(content, edits, pieces):
    for edit in edits:
        content = _edit(content, *edit, pieces)
    return content


def _edit(content, kind, first, second, third, pieces):
    """Do one thing; positions count modulo what there is."""
    size = len(content) + 1
    begin, end = sorted((first % size, second % size))
    end = min(end, begin + 40)
    piece = pieces[third % len(pieces)]
    if kind == "insert":
        return content[:begin] + piece + content[begin:]
    if kind == "replace":  # a field, such as between tabs, commas, quotes or blanks
        return _replace_field(content, begin, piece)
    if kind == "delete":
        return content[:begin] + content[end:]
    if kind == "double":
        return content[:end] + content[begin:]
    if kind == "cut":
        return content[:begin]
    if kind == "flip":
        return content[:begin] + bytes([third & 0xFF]) + content[begin + 1 :]
    if kind == "turn":  # other line ends, or none
        return content.replace(b"\n", (b"\r\n", b"\r", b"", b"\n\n")[third % 4])
    lines = content.split(b"\n")
    one, other = first % len(lines), second % len(lines)
    if kind == "line":
        lines.insert(one, lines[other])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _replace_field(content, at, piece):
    marks = b"\t\n ,\":'[]{}"
    begin = end = at
    while begin > 0 and content[begin - 1] not in marks:
        begin -= 1
    while end < len(content) and content[end] not in marks:
        end += 1
    return content[:begin] + piece + content[end:]


SURROGATES = st.sampled_from(["\ud800", "a\udcffb"])
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "\0", "\n", "a\tb", "\u2028", "no", "../x", "{language}", "{", "1e-3"]
    ),
    SURROGATES,
)
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 10**9, 10**400, -(10**400), 1 << 63, True, False]),
    st.sampled_from([0.0, -0.0, 0.5, 1e300, -1e300, 5e-324, float("inf"), float("nan")]),
    st.integers(),
    st.floats(),
)
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def changed(draw, tree, most=3, values=VALUES):
    """Draw a tree of mappings and lists with a few values replaced, keys added or taken away."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(0, most))):
        holder = tree
        while True:
            inner = [v for v in _items(holder) if isinstance(v, dict | list) and v]
            if not inner or draw(st.booleans()):
                break
            holder = inner[draw(st.integers(0, len(inner) - 1))]
        _change(draw, holder, values)
    return tree


def _items(holder):
    return list(holder.values()) if isinstance(holder, dict) else holder


def _change(draw, holder, values):
    kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
    if isinstance(holder, dict):
        key = draw(st.sampled_from(sorted(holder) or ["a"])) if kind != "add" else draw(TEXTS)
        if kind == "remove":
            holder.pop(key, None)
        else:
            holder[key] = draw(values)
    elif kind == "add" or not holder:
        holder.append(draw(values))
    else:
        at = draw(st.integers(0, len(holder) - 1))
        if kind == "remove":
            del holder[at]
        else:
            holder[at] = draw(values)


def as_json(tree):
    """Write a tree as JSON; NaN and lone surrogates are written as other tools write them."""
    return json.dumps(tree).encode()


def as_yaml(tree):
    """Write a tree as YAML."""
    return yaml.safe_dump(tree, sort_keys=False).encode("utf-8", "surrogatepass")


def json_files(tree, **options):
    """Draw JSON objects: with odd values, or with damaged bytes."""
    return st.one_of(
        changed(tree, **options).map(as_json), damaged(as_json(tree), pieces=JSON_PIECES)
    )


def yaml_files(*trees, text=()):
    """Draw YAML files: of trees with odd values, or texts with damaged bytes."""
    written = [*map(as_yaml, trees), *text]
    return st.one_of(
        *(changed(tree).map(as_yaml) for tree in trees), damaged(*written, pieces=YAML_PIECES)
    )


def bombs(levels=30, width=10):
    """Return YAML whose aliases stand for width ** levels values."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()

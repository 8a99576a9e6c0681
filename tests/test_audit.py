"""What `make audit` finds, over distributions that are told, not installed."""

import pytest
from packaging.requirements import Requirement

from tools import audit


class Told(audit.Distribution):
    """A distribution of the given metadata."""

    def __init__(self, text):
        self.text = text

    def read_text(self, filename):
        return self.text if filename == "METADATA" else None

    def locate_file(self, path):
        raise NotImplementedError


def told(name, version, *lines):
    return Told(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines])
    )


def walk(*distributions):
    by_name = {one.metadata["Name"].lower().replace("_", "-"): one for one in distributions}

    def find(name):
        try:
            return by_name[name.lower().replace("_", "-")]
        except KeyError:
            raise audit.PackageNotFoundError(name) from None

    return audit.walk("plug_in", find)


def plug_in(*lines):
    return told("plug_in", "1", *lines)


def test_what_dependencies_and_asked_extras_pull_in_is_found_and_nothing_else():
    found = walk(
        plug_in(
            *("Requires-Dist: Host[train]", "Requires-Dist: old; python_version < '3'"),
            *("Provides-Extra: all", "Requires-Dist: plug_in[pictures]; extra == 'all'"),
            *("Provides-Extra: pictures", "Requires-Dist: plots; extra == 'pictures'"),
        ),
        told(
            "host", "2", "Requires-Dist: deep",
            *("Provides-Extra: train", "Requires-Dist: trainer; extra == 'train'"),
            *("Provides-Extra: serve", "Requires-Dist: server; extra == 'serve'"),
        ),
        told("deep", "3", "Requires-Dist: host"),  # a circle
        *(told(name, "1") for name in ("trainer", "server", "plots", "old", "unrelated")),
    )  # fmt: skip
    assert set(found.found) == {"host", "deep", "trainer", "plots"}
    assert set(found.direct) == {"host", "plots"}
    assert found.faults == found.absent == []


def test_a_version_outside_anybodys_bounds_and_a_missing_one_are_faults():
    found = walk(
        plug_in(
            *("Requires-Dist: a>=2", "Requires-Dist: b", "Requires-Dist: lost"),
            *("Provides-Extra: x", "Requires-Dist: optional>1; extra == 'x'"),
        ),
        told("a", "1.9", "Requires-Dist: gone>1"),
        told("b", "1", "Requires-Dist: c<74"),
        told("c", "74.0"),
    )
    assert [str(fault) for fault in found.faults] == [
        "a asks for gone>1: is not installed",
        "b asks for c<74: found 74.0",
        "plug-in asks for a>=2: found 1.9",
        "plug-in asks for lost: is not installed",
    ]
    assert [needed.name for needed in found.absent] == ["optional"]  # an extra is a choice


def test_a_release_candidate_counts_as_a_version():
    assert walk(plug_in("Requires-Dist: a>=2"), told("a", "3rc1")).faults == []


@pytest.mark.parametrize(
    ("lines", "name", "flag"),
    [
        (["License-Expression: MIT", "License: GPL"], "MIT", ""),
        (["License: BSD"], "BSD", ""),
        (["License: UNKNOWN"], "unknown", "UNKNOWN"),
        ([], "unknown", "UNKNOWN"),
        (["Classifier: License :: OSI Approved"], "unknown", "UNKNOWN"),
        (["License-Expression: LGPL-2.1-or-later"], "LGPL-2.1-or-later", "COPYLEFT"),
        (["License-Expression: MPL-2.0 AND MIT"], "MPL-2.0 AND MIT", "COPYLEFT"),
        (["License: LicenseRef-X-Proprietary"], "LicenseRef-X-Proprietary", "PROPRIETARY"),
        (
            [
                "License: Copyright (c) us",
                "        All rights",
                "Classifier: License :: OSI :: BSD",
            ],
            *("BSD", ""),
        ),
        (["License: Terms  of use", "        All rights"], "Terms of use", ""),
    ],
)
def test_a_licence_is_read_where_it_is_stated_and_flagged(lines, name, flag):
    found = audit.licence(told("a", "1", *lines).metadata)
    assert (found, audit.flag(found)) == (name, flag)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (["a"], "unpinned"),
        (["a>=2"], "at least >=2"),
        (["a", "a>=5"], "at least >=5"),
        (["a>=2,<3"], "bounded <3,>=2"),
        (["a~=2.1"], "bounded ~=2.1"),
        (["a==2"], "pinned ==2"),
    ],
)
def test_how_a_dependency_is_held_is_told(asked, kind):
    assert audit.bound([Requirement(line) for line in asked]) == kind


def test_faults_make_the_command_fail(monkeypatch, capsys):
    monkeypatch.setattr(audit, "advisories", lambda: 0)
    broken, whole = walk(plug_in("Requires-Dist: lost")), walk(plug_in())
    monkeypatch.setattr(audit, "walk", lambda project: broken)
    with pytest.raises(SystemExit) as stopped:
        audit.main([])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: plug-in asks for lost: is not installed\n"
    monkeypatch.setattr(audit, "walk", lambda project: whole)
    audit.main([])
    assert "0 distributions: 0 copyleft" in capsys.readouterr().out
    monkeypatch.setattr(audit, "advisories", lambda: 1)
    with pytest.raises(SystemExit):
        audit.main([])

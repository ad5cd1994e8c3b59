from importlib.metadata import PackageNotFoundError

import pytest

from clbench.running import fitting

NEEDS = {
    "clbench": ["torch>=2", "torchvision", "timm>=1 ; extra == 'timm'", "odd ; python_version < '3'", "gone>=3"],
    "torchvision": ["torch==2.10.0", "numpy"],
    "torch": [],
}
VERSIONS = {"clbench": "0.1", "torch": "2.11.0+cpu", "torchvision": "0.25.0", "numpy": "2.0"}


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in VERSIONS:
            raise PackageNotFoundError(name)
        return VERSIONS[name]

    monkeypatch.setattr(fitting, "requires", lambda name: NEEDS.get(name))
    monkeypatch.setattr(fitting, "version", version)


def test_what_is_not_as_required_is_said() -> None:
    assert list(fitting.misfits()) == [
        "torchvision 0.25.0 needs torch==2.10.0 but 2.11.0+cpu is installed",
        "clbench needs gone>=3, which is not installed",
    ]


def test_a_build_of_the_version_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "torch", "2.10.0+cu128")
    monkeypatch.setitem(VERSIONS, "gone", "3.1")
    assert list(fitting.misfits()) == []


def test_a_version_before_its_release_is_one_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "torchvision", ["torch>=2.10", "numpy"])
    monkeypatch.setitem(VERSIONS, "torch", "2.12.0.dev20260101")
    assert list(fitting.misfits()) == ["clbench needs gone>=3, which is not installed"]


def test_extras_with_what_is_installed_of_them() -> None:
    assert fitting.extras() == {"timm": {"timm": None}}

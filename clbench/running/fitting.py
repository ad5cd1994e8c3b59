"""Whether the installed packages fit together, as their own metadata say; torch and torchvision above all."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement


def misfits(package: str = "clbench") -> Iterator[str]:
    """A sentence for each requirement of a package, and of what it requires itself, that is not installed so."""
    for needed in _required(package):
        yield from _wrong(package, needed)
        for further in _required(needed.name):
            yield from _wrong(needed.name, further)


def extras(package: str = "clbench") -> dict[str, dict[str, str | None]]:
    """Optional extra -> each package that it brings -> the installed version; None where it is not installed."""
    found: dict[str, dict[str, str | None]] = {}
    for text in _texts(package):
        each = Requirement(text)
        if each.marker and "extra" in str(each.marker):
            extra = str(each.marker).rpartition("extra == ")[2].strip("\"')")
            found.setdefault(extra, {})[each.name] = installed(each.name)
    return found


def installed(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _texts(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:
        return []


def _required(package: str) -> list[Requirement]:
    """What a package cannot do without on this machine."""
    needed = [Requirement(text) for text in _texts(package)]
    return [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]


def _wrong(package: str, needed: Requirement) -> Iterator[str]:
    got = installed(needed.name)
    if got is None:
        yield f"{package} needs {needed.name}{needed.specifier}, which is not installed"
    elif not needed.specifier.contains(got, prereleases=True):
        yield f"{package} {installed(package)} needs {needed.name}{needed.specifier} but {got} is installed"

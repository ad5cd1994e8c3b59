import subprocess
import sys

import clbench


def test_public_names_are_sorted_and_importable() -> None:
    assert clbench.__all__ == sorted(clbench.__all__)
    assert set(clbench.__all__) == set(clbench._HOMES)
    for name in clbench.__all__:
        assert (
            getattr(clbench, name).__module__.startswith("clbench")
            or callable(getattr(clbench, name))
            or name == "Values"
        )


def test_importing_clbench_does_not_import_torch() -> None:
    quick = "clbench, clbench.cli, clbench.report.formats, clbench.running.config, clbench.scenario.builder"
    code = f"import sys, {quick}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unknown_names_raise_as_usual() -> None:
    try:
        clbench.no_such_name  # noqa: B018
    except AttributeError as error:
        assert "no_such_name" in str(error)
    else:
        raise AssertionError("expected AttributeError")

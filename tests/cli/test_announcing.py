from pathlib import Path

import pytest

from clbench.cli.announcing import Announcer
from clbench.errors import ClbenchError
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.running.execute import How

FOLDER = Path("runs/debug/er/0123456789ab/seed0")


def test_the_announcer_shows_tracebacks_only_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ClbenchError("it broke")
    except ClbenchError as error:
        bad = Failure(Spec("debug", "er"), error, FOLDER)
    for debug in (False, True):
        Announcer(How("cpu"), debug).failed(bad)
        err = capsys.readouterr().err
        assert ("Traceback" in err) == debug and err.endswith("debug/er seed 0: it broke\n")

from clbench import plugins
from clbench.data.titles import TITLES
from clbench.scenario.builder import load_builder


def test_every_scenarios_family_of_images_has_a_title() -> None:
    families = {load_builder(name).dataset for name in plugins.available("scenario")}
    assert families - {""} <= set(TITLES)

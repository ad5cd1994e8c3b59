from clbench.running.config import resolve
from clbench.running.defaults import layered


def test_later_layers_have_the_last_word() -> None:
    found = layered("digits-seq", "joint", None, "linear")
    assert found["train"]["lr"] == (1e-3, "scenario")
    assert found["strategy"]["passes"] == (8, "joint on digits-seq")
    assert "head" not in found  # digits-seq speaks of the dlfl head alone


def test_a_layer_may_speak_of_one_memory_or_head_alone() -> None:
    assert layered("digits-seq", "dlfl", "prs", "dlfl")["head"]["width"] == (96, "scenario")
    assert layered("coco-seq", "er", "prs", "linear")["memory"]["rho"] == (-0.03, "prs on coco-seq")
    assert "rho" not in layered("coco-seq", "er", "reservoir", "linear")["memory"]


def test_what_the_user_set_and_what_a_layer_says() -> None:
    origins = resolve("digits-seq", "er", settings={"lr": "0.5", "memory.size": 3}).origins()
    assert origins["train"]["lr"] == origins["memory"]["size"] == "set"
    assert origins["model"]["backbone"] == "scenario" and origins["train"]["epochs"] == ""
    assert resolve("coco-seq", "er", memory="prs").origins()["memory"]["rho"] == "prs on coco-seq"

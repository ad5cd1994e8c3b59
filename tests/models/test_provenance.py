import pytest

from clbench.models.provenance import families, leak, note, tagged_datasets


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MS_COCO_TRresNet_M_224_81.8.pth", {"coco"}),
        ("PASCAL_VOC_TResNet_L_448_96.0.pth", {"voc"}),
        ("NUS_WIDE_TResNet_L_448_65.2.pth", {"nuswide"}),
        ("COCO 2017 and VOC2007", {"coco", "voc"}),
        ("coco2014.safetensors", {"coco"}),
        ("nuswide", {"nuswide"}),
        ("LVIS v1", {"coco"}),
        ("ImageNet-1k", set()),
        ("coconut.safetensors, avocado, vocal", set()),
        ("unknown", set()),
        ("", set()),
    ],
)
def test_families_are_named_as_words(text: str, found: set[str]) -> None:
    assert families(text) == found


def test_only_the_scenarios_own_family_is_a_leak() -> None:
    assert leak("trained on COCO", "w.safetensors", "voc") is None
    assert leak("trained on COCO", "w.safetensors", "") is None
    sentence = leak("trained on COCO", "w.safetensors", "coco")
    assert sentence and "w.safetensors" in sentence and sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    ("tag", "datasets"),
    [
        ("augreg_in21k_ft_in1k", "ImageNet-21k, ImageNet-1k"),
        ("a1_in1k", "ImageNet-1k"),
        ("fb_swsl_ig1b_ft_in1k", "IG-1B, ImageNet-1k"),
        ("openai", "unknown"),
        ("", "unknown"),
    ],
)
def test_timms_tags(tag: str, datasets: str) -> None:
    assert tagged_datasets(tag) == datasets


def test_the_footnote_is_for_unknown_origins_alone() -> None:
    assert note("ImageNet-1k", "w") is None
    assert "unknown" in (note("unknown", "w") or "")

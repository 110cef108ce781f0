import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.flows.images import ImageSettings, Layout, flows_seen, window_image
from collabdm.errors import ConfigError
from data.flows.tiny_flows import tiny_schema


@given(st.integers(1, 12), st.integers(1, 9), st.integers(4, 9), st.sampled_from(["flat", "rows"]))
def test_each_pixel_is_the_value_that_the_layout_puts_there(
    flows: int, features: int, side: int, layout: Layout
) -> None:
    values = np.linspace(0.01, 1, flows * features, dtype=np.float32).reshape(flows, features)
    if layout == "rows" and features > side:
        with pytest.raises(ConfigError, match=f"--side {features}"):
            window_image(values, side=side, layout=layout)
        return
    image = window_image(values, side=side, layout=layout)
    assert (image.shape, image.dtype) == ((1, side, side), np.uint8)
    whole = 0
    for row in range(side):
        for column in range(side):
            flow, feature = divmod(row * side + column, features) if layout == "flat" else (row, column)
            inside = flow < flows and feature < features
            assert image[0, row, column] == (round(float(values[flow, feature]) * 255) if inside else 0)
            whole += inside
    assert flows_seen(flows, features, side=side, layout=layout) == pytest.approx(whole / features)


def test_the_papers_94th_flow_keeps_its_first_four_values() -> None:
    values = np.ones((94, 44), np.float32)
    values[93, 4:] = 0
    assert window_image(values, side=64, layout="flat").min() == 255
    assert flows_seen(94, 44, side=64, layout="flat") == pytest.approx(93 + 4 / 44)


def test_the_digest_tells_images_apart_but_not_choices_of_windows() -> None:
    settings = ImageSettings(flow_schema=tiny_schema(), side=8, flows_per_image=4)
    for changes in ({"window": "time"}, {"attack_share": 0.5}, {"by": "host"}):
        assert settings.model_copy(update=changes).digest() == settings.digest()
    for changes in ({"side": 9}, {"layout": "rows"}, {"keep_leaking": True}, {"flows_per_image": 5}):
        assert settings.model_copy(update=changes).digest() != settings.digest()
    assert ImageSettings.model_validate_json(settings.model_dump_json()) == settings

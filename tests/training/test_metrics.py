"""The picture of a run's loss."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from retro_cli.training.metrics import HEIGHT, WIDTH, loss_plot, smoothed

LOSSES = st.lists(st.floats(0, 20), min_size=1, max_size=50)


@given(LOSSES)
def test_every_step_has_a_dot_on_the_paper_and_a_higher_loss_lies_higher(losses):
    tree = ElementTree.fromstring(loss_plot(losses, "title"))
    dots = [
        (float(e.get("cx")), float(e.get("cy"))) for e in tree.iter() if e.tag.endswith("circle")
    ]
    assert len(dots) == len(losses)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in dots)
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    highest, lowest = losses.index(max(losses)), losses.index(min(losses))
    assert dots[highest][1] <= dots[lowest][1]


@given(LOSSES)
def test_the_average_stays_between_the_lowest_and_the_highest_loss_so_far(losses):
    for step, mean in enumerate(smoothed(losses)):
        seen = losses[: step + 1]
        assert min(seen) - 1e-9 <= mean <= max(seen) + 1e-9


def test_a_run_without_steps_has_no_picture():
    assert loss_plot([], "title") == ""

import functools
import os
import warnings

import pytest
import torch

from models.sru import SRU, SRUCell


@functools.cache
def package():
    """The sru package, which needs to see no GPU to be quiet, and compiles at its first use."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sru", reason="the sru package is a test dependency")


def pair(input_size, hidden_size, layers, weight_c=True):
    """Our SRU and the package's with the same random parameters."""
    torch.manual_seed(0)
    theirs = package().SRU(
        input_size, hidden_size, layers, use_tanh=True, has_skip_term=True, rescale=False, v1=True
    )
    with torch.no_grad():
        for cell in theirs.rnn_lst:
            cell.bias.normal_()
            if weight_c:
                cell.weight_c.normal_()
            cell.weight_c.requires_grad_()
    ours = SRU(input_size, hidden_size, layers)
    ours.load_state_dict(theirs.state_dict())
    return ours.requires_grad_(), theirs


@pytest.mark.parametrize(("input_size", "hidden_size"), [(5, 8), (8, 8)])
@pytest.mark.filterwarnings("ignore")
def test_outputs_and_gradients_equal_those_of_the_sru_package(input_size, hidden_size):
    ours, theirs = pair(input_size, hidden_size, 3)
    inputs = torch.randn(4, 7, input_size)
    our_inputs, their_inputs = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    our_states = ours(our_inputs)
    their_states = theirs(their_inputs.transpose(0, 1))[0].transpose(0, 1)
    torch.testing.assert_close(our_states, their_states, atol=1e-5, rtol=0)
    weight = torch.randn_like(our_states)
    (our_states * weight).sum().backward()
    (their_states * weight).sum().backward()
    torch.testing.assert_close(our_inputs.grad, their_inputs.grad, atol=1e-5, rtol=1e-5)
    for (name, parameter), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.filterwarnings("ignore")
def test_the_state_dict_is_that_of_the_sru_package_in_names_shapes_and_order():
    ours, theirs = pair(5, 8, 2)
    shapes = [
        [(name, tensor.shape) for name, tensor in m.state_dict().items()] for m in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]


def only_cell(layer):
    (cell,) = layer.rnn_lst
    assert isinstance(cell, SRUCell)
    return cell


def test_outputs_equal_a_loop_over_the_published_equations():
    torch.manual_seed(0)
    layer = SRU(3, 4, 1)
    cell_layer = only_cell(layer)
    torch.nn.init.normal_(cell_layer.weight_c)
    torch.nn.init.normal_(cell_layer.bias)
    x = torch.randn(1, 5, 3)
    weight = cell_layer.weight.reshape(3, 4, 4)  # input, unit, matrix
    b, w = cell_layer.bias, cell_layer.weight_c
    c, states = torch.zeros(4), []
    for step in x[0]:
        u = [step @ weight[:, :, matrix] for matrix in range(4)]
        f = torch.sigmoid(u[1] + b[:4] + w[:4] * c)
        r = torch.sigmoid(u[2] + b[4:] + w[4:] * c)
        c = u[0] + (c - u[0]) * f
        states.append(u[3] + (torch.tanh(c) - u[3]) * r)
    torch.testing.assert_close(layer(x)[0], torch.stack(states), atol=1e-6, rtol=0)


def test_weight_c_changes_the_result_and_is_frozen_at_first():
    layer, inputs = SRU(4, 4, 1), torch.randn(2, 6, 4)
    before = layer(inputs)
    assert not only_cell(layer).weight_c.requires_grad
    torch.nn.init.ones_(only_cell(layer).weight_c)
    assert not torch.allclose(before, layer(inputs), atol=1e-3)


def test_padding_changes_nothing_and_is_zero_in_the_output():
    torch.manual_seed(0)
    layer, inputs = SRU(4, 6, 2), torch.randn(2, 5, 4)
    padded = torch.cat([inputs, torch.full((2, 3, 4), 7.0)], dim=1)
    states = layer(padded, torch.tensor([5, 2]))
    torch.testing.assert_close(states[0, :5], layer(inputs)[0])
    torch.testing.assert_close(states[1, :2], layer(inputs[1:, :2])[0])
    assert not states[0, 5:].any()
    assert not states[1, 2:].any()


def test_dropout_masks_are_constant_over_time_and_rest_in_evaluation():
    torch.manual_seed(0)
    layer = SRU(50, 50, 1, rnn_dropout=0.5)
    masked = only_cell(layer)._mask_input(torch.ones(18, 50), [2] * 9)
    assert all(torch.equal(step, masked[:2]) for step in masked.split(2))
    assert set(masked.flatten().tolist()) == {0.0, 2.0}
    layer.eval()
    seen = only_cell(layer)._mask_input(torch.ones(18, 50), [2] * 9)
    assert torch.equal(seen, torch.ones(18, 50))


def test_the_last_layer_has_no_highway_dropout():
    assert [cell.dropout for cell in SRU(4, 4, 3, dropout=0.3).rnn_lst] == [0.3, 0.3, 0.0]

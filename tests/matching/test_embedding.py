"""The hot path against a plain loop over single samples, for every chunk size, eager and compiled."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch.func import functional_call

from collabdm.engine import Engine
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.kernels import compiler
from collabdm.matching.embedding import Embedder, Transform, class_sums, embedder_for
from collabdm.matching.statistic import FIRST, MOMENTS, SECOND, Term
from collabdm.modality import Augmentation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream

SPEC = NetworkSpec(width=8, depth=2)
SHAPE = (1, 8, 8)
SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
SEED = 12
# Class 1 has no samples; the others cross the borders of chunks of 7 and 32.
DRAWN = {0: 41, 2: 1, 3: 9, 4: 3}


def images() -> np.ndarray:
    return Stream(1, "images").integers(256, (60, *SHAPE)).astype(np.uint8)


def drawn() -> dict[int, np.ndarray]:
    return {y: Stream(2, "drawn", y).choose(60, count) for y, count in DRAWN.items()}


def augmentations() -> dict[int, Augmentation | None]:
    names = {0: "crop", 2: None, 3: "rotate", 4: "colour"}
    return {
        y: None if name is None else Augmentation(operation=name, uniforms=Stream(3, y).uniform((1, 3)))
        for y, name in names.items()
    }


def plain_embeddings() -> list[np.ndarray]:
    """One sample at a time in float64: [n, d] of every class, classes ascending."""
    network = build_network(SPEC, SHAPE, 1)
    parameters = {
        name: value.double()
        for name, value in initial_parameters(network, Stream(SEED, "encoder"), embedding=True).items()
    }
    embeddings = []
    for y, rows in sorted(drawn().items()):
        vectors = []
        for row in rows:
            image = (torch.from_numpy(images()[row]).double() / 255 - 0.4) / 0.3
            shown = SAMPLE.augment(image[None], augmentations()[y])
            vectors.append(functional_call(network, parameters, (shown,), {"embedding": True})[0].numpy())
        embeddings.append(np.array(vectors))
    return embeddings


def plain_moments() -> np.ndarray:
    """Means and population variances."""
    return np.array([[vectors.mean(axis=0), vectors.var(axis=0)] for vectors in plain_embeddings()])


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return plain_moments()


def moments_of(
    embedder: Embedder, encoder: dict[str, torch.Tensor], rows: dict[int, np.ndarray] | None = None
) -> np.ndarray:
    """Means and variances of the sums: [classes, 2, d]."""
    taken = drawn() if rows is None else rows
    sums = class_sums(embedder, encoder, images(), taken, augmentations(), SAMPLE, MOMENTS.terms)
    assert sums.dtype == torch.float64
    counts = torch.tensor([len(taken[y]) for y in sorted(taken)], dtype=torch.float64)
    return MOMENTS.finish(sums / counts.view(-1, 1, 1)).numpy()


def moments_under(engine: Engine) -> np.ndarray:
    embedder = Embedder(SPEC, SHAPE, engine)
    return moments_of(embedder, embedder.encoder(SEED))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("chunk", [1, 7, 32, 100])
def test_class_moments_equal_the_plain_loop(chunk: int, expected: np.ndarray) -> None:
    exact = moments_under(Engine(dtype="float64", chunk=chunk))
    assert exact.dtype == np.float64
    assert exact.shape == (4, 2, 8 * 2 * 2)
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-12)
    assert relative(moments_under(Engine(dtype="float32", chunk=chunk)), expected) < 1e-6


def test_one_sample_has_no_variance(expected: np.ndarray) -> None:
    assert (moments_under(Engine(dtype="float64"))[1, 1] < 1e-12).all()


@pytest.mark.parametrize(("chunk", "threads"), [(1, 1), (7, 3), (100, 1)])
def test_terms_of_any_number_of_rows_are_summed_one_after_another(chunk: int, threads: int) -> None:
    gram = Term(name="gram", of=lambda e: e.unsqueeze(2) * e.unsqueeze(1))
    embedder = Embedder(SPEC, SHAPE, Engine(dtype="float64", chunk=chunk, threads=threads))
    terms = (SECOND, gram, FIRST)
    sums = class_sums(embedder, embedder.encoder(SEED), images(), drawn(), augmentations(), SAMPLE, terms)
    d = embedder.features
    assert sums.shape == (4, d + 2, d)
    for found, vectors in zip(sums.numpy(), plain_embeddings(), strict=True):
        np.testing.assert_allclose(found[0], (vectors**2).sum(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[1:-1], vectors.T @ vectors, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[-1], vectors.sum(axis=0), rtol=1e-9, atol=1e-12)


def test_the_order_of_the_classes_given_does_not_matter() -> None:
    embedder = Embedder(SPEC, SHAPE, Engine())
    given = dict(reversed(drawn().items()))
    again = moments_of(embedder, embedder.encoder(SEED), given)
    np.testing.assert_array_equal(again, moments_under(Engine()))


def shown_as(y: int) -> Transform:
    """What the samples of a class pass through."""
    return partial(SAMPLE.augment, augmentation=augmentations()[y])


def linearised(embedder: Embedder, batch: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of three classes (one of them empty) under their augmentations, and a gradient at the images."""
    shown = [shown_as(0), shown_as(4), shown_as(3)]
    embeddings, back = embedder.linearised(embedder.encoder(SEED), batch, [4, 0, 3], shown)
    return embeddings, back(weights.to(embeddings.dtype))


def plainly_linearised(batch: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from torch's own gradient of the whole batch at once."""
    embedder = Embedder(SPEC, SHAPE, Engine(dtype="float64"))
    leaf = batch.clone().requires_grad_()
    shown = torch.cat([SAMPLE.augment(leaf[:4], augmentations()[0]), SAMPLE.augment(leaf[4:], augmentations()[3])])
    embeddings = functional_call(embedder.network, embedder.encoder(SEED), (shown,), {"embedding": True}, strict=False)
    return embeddings.detach(), torch.autograd.grad((embeddings * weights).sum(), leaf)[0]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_embeddings_and_gradients_do_not_depend_on_the_chunk(chunk: int, threads: int) -> None:
    weights = torch.from_numpy(Stream(5).uniform((7, 32)))
    batch = torch.from_numpy(Stream(4).uniform((7, *SHAPE), -1, 1))
    embedder = Embedder(SPEC, SHAPE, Engine(dtype="float64", chunk=chunk, threads=threads))
    for got, whole in zip(linearised(embedder, batch, weights), plainly_linearised(batch, weights), strict=True):
        torch.testing.assert_close(got, whole, rtol=1e-10, atol=1e-12)
    embedded = embedder.embed(embedder.encoder(SEED), batch)
    plain = functional_call(embedder.network, embedder.encoder(SEED), (batch,), {"embedding": True}, strict=False)
    torch.testing.assert_close(embedded, plain, rtol=1e-10, atol=1e-12)


def test_the_encoder_is_that_of_the_seed_in_the_engines_dtype() -> None:
    embedder = Embedder(SPEC, SHAPE, Engine(dtype="bfloat16"))
    parameters = initial_parameters(build_network(SPEC, SHAPE, 1), Stream(SEED, "encoder"), embedding=True)
    encoder = embedder.encoder(SEED)
    assert set(encoder) == set(parameters)
    assert all(torch.equal(encoder[name], value.bfloat16()) for name, value in parameters.items())


def test_equal_arguments_share_one_embedder() -> None:
    engine = Engine(chunk=9)
    assert embedder_for(SPEC, SHAPE, engine) is embedder_for(NetworkSpec(width=8, depth=2), SHAPE, Engine(chunk=9))
    assert embedder_for(SPEC, SHAPE, engine) is not embedder_for(SPEC, SHAPE, Engine(chunk=10))


def test_bfloat16_is_within_a_hundredth(expected: np.ndarray) -> None:
    assert relative(moments_under(Engine(dtype="bfloat16"))[:, 0], expected[:, 0]) < 1e-2


def test_a_compiled_engine_sees_one_shape_and_padding_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, expected: np.ndarray
) -> None:
    seen: list[int] = []

    def recorded(function: Callable[..., torch.Tensor], **_: object) -> Callable[..., torch.Tensor]:
        def call(encoder: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
            seen.append(len(batch))
            return function(encoder, batch)

        return call

    monkeypatch.setattr(torch, "compile", recorded)
    engine = Engine(kind="compiled", dtype="float64", chunk=16)
    np.testing.assert_allclose(moments_under(engine), expected, rtol=1e-9, atol=1e-12)
    # Chunks run across classes, so that only the last is padded: 54 samples in four chunks.
    assert seen == [16] * 4
    embedder = Embedder(SPEC, SHAPE, engine)
    assert len(embedder.embed(embedder.encoder(SEED), torch.zeros(17, *SHAPE))) == 17
    assert set(seen) == {16}


# Torch's compiler imports modules of its own that are deprecated.
quiet_compiler = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="a compiled engine needs a C++ compiler")
WIDE = NetworkSpec(width=32, depth=2)


def engine_of(dtype: str, threads: int = 1, chunk: int = 16) -> Engine:
    return Engine.model_validate({"kind": "compiled", "dtype": dtype, "threads": threads, "chunk": chunk})


def moments_and_gradient(spec: NetworkSpec, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    embedder = Embedder(spec, SHAPE, engine)
    encoder = embedder.encoder(SEED)
    moments = moments_of(embedder, encoder)
    batch = torch.from_numpy(Stream(4).uniform((40, *SHAPE), -1, 1)).to(engine.sample_dtype)
    embeddings, back = embedder.linearised(encoder, batch, [30, 10], [shown_as(0), shown_as(3)])
    return moments, back(embeddings - 0.3).double().numpy()


@needs_compiler
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_own_kernels_equal_the_exact_engine(dtype: str, tolerance: float) -> None:
    exact = moments_and_gradient(WIDE, Engine(dtype="float64", chunk=40))
    got = moments_and_gradient(WIDE, engine_of(dtype))
    assert relative(got[0], exact[0]) < tolerance
    # The gradient passes through the whole network twice: more roundings.
    assert relative(got[1], exact[1]) < 10 * tolerance


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_threads_change_not_a_bit(dtype: str) -> None:
    one, four = (moments_and_gradient(WIDE, engine_of(dtype, threads=threads)) for threads in (1, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, four, strict=True))


@needs_compiler
def test_a_chunk_of_any_size_leaves_every_sample_its_bits() -> None:
    # 40 samples in 10, 6, 4 and 2 chunks, and in one: chunks of own kernels are made equal and even in number.
    gradients = [moments_and_gradient(WIDE, engine_of("float32", chunk=chunk))[1] for chunk in (4, 7, 13, 20, 40)]
    assert all(np.array_equal(gradients[0], one) for one in gradients[1:])


@needs_compiler
@quiet_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_graphs_of_torchs_compiler_equal_the_exact_engine(dtype: str, tolerance: float) -> None:
    spec = NetworkSpec(width=32, depth=2, pooling="max")
    exact = moments_and_gradient(spec, Engine(dtype="float64", chunk=40))
    got = moments_and_gradient(spec, engine_of(dtype))
    assert relative(got[0], exact[0]) < tolerance
    assert relative(got[1], exact[1]) < 10 * tolerance

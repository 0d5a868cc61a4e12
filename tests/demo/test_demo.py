import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo import app
from demo.explorer import SHOWN_SIDE, Explorer, View, parse_phrases, read_upload, shown
from demo.gallery import Gallery, features_gallery, folder_gallery, read_lines, toy_gallery
from misc.checkpoints.checkpoint import save_checkpoint
from misc.data.transforms import load_image
from misc.embedder import Embedder
from misc.features.writing import save_embeddings
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

ROOT = Path(__file__).resolve().parents[2]
MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, pool_k=2, word_dim=50, sru_layers=1
)


@pytest.fixture(scope="module")
def embedder(toy_root, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    config = {"dataset": "toy", "word_vectors": str(toy_root / "toy" / "word_vectors")}
    save_checkpoint(path, JointEmbedding(MINIATURE), {"config": config})
    return Embedder(path, device="cpu", data_root=toy_root)


@pytest.fixture(scope="module")
def explorer(embedder, toy_root):
    return Explorer(embedder, toy_gallery(embedder, toy_root))


@pytest.fixture(scope="module")
def handlers(explorer):
    pytest.importorskip("gradio", reason="pip install -r requirements-demo.txt")
    from demo.handlers import Handlers

    return Handlers(explorer)


def test_phrases_are_what_is_between_commas_and_line_ends():
    assert parse_phrases(" a dog,, a big cat;\na dog\n") == ["a dog", "a big cat"]
    assert parse_phrases("a dog and a cat") == ["a dog and a cat"]


@pytest.mark.parametrize(
    ("text", "message"), [(" ,\n", "Type a phrase"), (",".join("abcdefghi"), "are 9 phrases")]
)
def test_no_phrase_and_too_many_are_told(text, message):
    with pytest.raises(ValueError, match=message):
        parse_phrases(text)


def test_uploads_are_upright_rgb_and_scaled_down(tmp_path):
    image = Image.new("RGBA", (3000, 1500), (255, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    upload = read_upload(tmp_path / "turned.png")
    assert (upload.mode, upload.size) == ("RGB", (512, 1024))
    assert upload.getpixel((0, 0)) == (255, 255, 255)
    Image.new("L", (30, 20), 7).save(tmp_path / "small.png")
    assert read_upload(tmp_path / "small.png").size == (30, 20)


def test_uploads_are_read_beyond_the_size_at_which_pillow_warns(tmp_path, monkeypatch):
    Image.new("RGB", (150, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert read_upload(tmp_path / "a.png").size == (150, 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7_000)
    with pytest.raises(ValueError, match="a.png has more than 0 megapixels"):
        read_upload(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_an_upload_that_is_no_image_is_told(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match="a.png cannot be read as an image"):
        read_upload(tmp_path / "a.png")


def test_a_truncated_upload_is_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:2000])
    with pytest.raises(ValueError, match="a.jpg cannot be read"):
        read_upload(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("size", "expected"), [((128, 64), (400, 200)), ((30, 4000), (3, 400)), ((1, 4000), (1, 400))]
)
def test_images_are_shown_at_one_size(size, expected):
    assert shown(Image.new("RGB", size)).size == expected


def test_strength_blends_from_the_image_alone_to_the_hottest_cell():
    image, heat_map = Image.new("RGB", (400, 400), "teal"), torch.zeros(8, 8)
    heat_map[6, 1] = 1
    view = View(image, "", heat_map)
    assert view.picture(0) == image
    half, full = (np.asarray(view.picture(strength), int) for strength in (0.5, 1))
    cold = np.s_[:200, 200:]
    middle = (np.asarray(image, int) + full)[cold] / 2
    assert np.abs(half[cold] - middle).max() <= 1
    brightness = full.sum(axis=2)
    assert brightness[290:360, 40:110].mean() > brightness[cold].mean() + 100
    assert full[325, 75].tolist() == [255, 255, 255]  # the dot on the peak
    assert View(image).picture(1) == image


def test_a_search_shows_the_nearest_images_and_where_the_phrase_is(explorer):
    query = explorer.embedder.embed_texts(["a dog"])[0]
    scores = explorer.gallery.embeddings @ query
    order = scores.argsort(descending=True)[:12].tolist()
    views = explorer.search("a dog")
    assert [view.file for view in views] == [explorer.gallery.images[row] for row in order]
    assert views[0].title == f"{scores[order[0]]:.2f}"
    heat_map = explorer.embedder.localize(views[3].file, ["a dog"])[0]
    torch.testing.assert_close(views[3].heat_map, heat_map)
    assert max(views[3].image.size) == SHOWN_SIDE


def test_a_question_is_answered_phrase_by_phrase(explorer):
    image = load_image(explorer.gallery.images[2])
    dog, cat = explorer.ask(image, "a dog, a cat")
    score = explorer.embedder.embed_texts(["a cat"])[0] @ explorer.gallery.embeddings[2]
    assert cat.title == f"a cat · {score:.2f}"
    heat_maps = explorer.embedder.localize(image, ["a dog", "a cat"])
    torch.testing.assert_close(torch.stack([dog.heat_map, cat.heat_map]), heat_maps)


def test_captions_are_the_nearest(explorer):
    captions = sorted(set(explorer.gallery.captions))
    scores = explorer.embedder.embed_texts(captions) @ explorer.gallery.embeddings[2]
    found = explorer.captions(load_image(explorer.gallery.images[2]))
    assert [score for _, score in found] == pytest.approx(scores.topk(5).values.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("captions", "expected"), [(["a dog", "a cat", "a dog"], ["a cat", "a dog"]), ([], [])]
)
def test_each_caption_is_listed_once_and_none_if_there_are_none(
    captions, expected, embedder, explorer
):
    gallery = Gallery(explorer.gallery.images, explorer.gallery.embeddings, captions)
    found = Explorer(embedder, gallery).captions(Image.new("RGB", (20, 20)))
    assert sorted(caption for caption, _ in found) == expected


def test_words_without_a_vector_are_named(explorer):
    assert explorer.unknown_words("a blorp and a Dog") == ["blorp"]


def test_a_folder_is_shown_without_what_cannot_be_read(embedder, tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "deep" / "b.png")
    Image.new("RGB", (20, 20), "teal").save(tmp_path / "c.png")
    (tmp_path / "a.png").write_text("broken")
    gallery = folder_gallery(embedder, [tmp_path])
    assert sorted(image.name for image in gallery.images) == ["b.png", "c.png"]
    torch.testing.assert_close(gallery.embeddings, embedder.embed_images(gallery.images))
    (tmp_path / "a.png").unlink()
    assert len(folder_gallery(embedder, [tmp_path], limit=1).images) == 1


def test_a_features_file_is_shown_as_far_as_the_limit(embedder, explorer, tmp_path):
    names = [str(image) for image in explorer.gallery.images]
    save_embeddings(tmp_path / "a.npz", names, explorer.gallery.embeddings)
    gallery = features_gallery(embedder, tmp_path / "a.npz", limit=3)
    assert gallery.images == explorer.gallery.images[:3]
    assert torch.equal(gallery.embeddings, explorer.gallery.embeddings[:3])


@pytest.mark.parametrize(
    ("names", "dimension", "message"),
    [(["a.png"], 8, "8 dimensions"), ([], 16, "no embeddings"), (["no.png"], 16, "1 of the 1")],
)
def test_features_that_cannot_be_shown_are_told(names, dimension, message, embedder, tmp_path):
    save_embeddings(tmp_path / "a.npz", names, torch.zeros(len(names), dimension))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        features_gallery(embedder, tmp_path / "a.npz")


def test_captions_are_lines_that_are_not_blank(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffa dog \n\na cat", encoding="utf-8")
    assert read_lines(tmp_path / "a.txt") == ["a dog", "a cat"]


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "no captions"), (b"\xff", "UTF-8")])
def test_captions_that_cannot_be_read_are_told(content, message, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_lines(tmp_path / "a.txt")


def test_an_empty_query_is_told_above_the_first_images(handlers, explorer):
    message, _, views = handlers.search("  ", 0.5)
    assert "problem" in message
    assert "Type what to look for" in message
    assert [view.file for view in views] == explorer.gallery.images[:12]


def test_a_question_needs_an_image_and_a_phrase(handlers):
    message, tiles, views = handlers.ask("a dog", None, 0.5)
    assert "Choose an image first" in message
    assert (tiles, views) == (None, [])
    message, _, _ = handlers.ask(" ", Image.new("RGB", (20, 20)), 0.5)
    assert "Type a phrase first" in message


def test_an_upload_that_is_no_image_leaves_no_image(handlers, tmp_path):
    (tmp_path / "<b>.png").write_text("no image")
    message, *rest = handlers.upload(str(tmp_path / "<b>.png"))
    assert "&lt;b&gt;.png cannot be read" in message
    assert rest == [None, None, ""]


def test_blending_again_changes_the_pictures_and_keeps_their_titles(handlers, explorer):
    from demo.handlers import blend

    views = explorer.search("a dog")
    (weak, none), (strong, _) = blend(0.0, views, []), blend(1.0, views, [])
    assert none == []
    assert [title for _, title in weak] == [title for _, title in strong]
    assert weak[0][0] == views[0].image != strong[0][0]


def test_the_page_needs_gradio_and_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "demo.page", raising=False)
    monkeypatch.delitem(sys.modules, "demo.handlers", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    args = app.get_parser().parse_args(["-p", "no.pt"])
    args.port = 0  # any that is free
    with pytest.raises(ValueError, match="requirements-demo.txt"):
        app.main(args)


def test_the_page_listens_on_this_machine_only():
    args = app.get_parser().parse_args(["-p", "model.pt"])
    assert (args.host, args.port) == ("127.0.0.1", 7860)


def test_a_taken_or_impossible_port_is_told_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as server:
        for port in (server.getsockname()[1], 70_000):
            with pytest.raises(ValueError, match=f"port {port} .* --port"):
                app.main(app.get_parser().parse_args(["-p", "no.pt", "--port", str(port)]))


def test_the_command_lines_need_neither_torch_nor_gradio():
    code = "import sys, demo.app, demo.screenshot\n"
    code += "sys.exit(bool({'torch', 'numpy', 'PIL', 'gradio', 'playwright'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

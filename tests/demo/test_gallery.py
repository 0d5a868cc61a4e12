import pytest
import torch
from PIL import Image

from demo.gallery import features_gallery, folder_gallery, read_lines
from misc.features.writing import save_embeddings


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

import numpy as np
import pytest
import torch
from PIL import Image

from demo.explorer import SHOWN_SIDE, Explorer, View, parse_phrases, read_upload, shown
from demo.gallery import Gallery, folder_gallery
from misc.data.decoding import load_image
from misc.pictures.presence import FAINT


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


def test_views_smooth_as_they_were_told(embedder, explorer):
    views = Explorer(embedder, explorer.gallery, sigma=0.3).search("a dog")
    assert {view.sigma for view in views} == {0.3}
    assert Explorer(embedder, explorer.gallery, 0.3).ask(views[0].image, "a dog")[0].sigma == 0.3


def test_views_say_whether_a_phrase_is_there_if_that_is_known(embedder, explorer, monkeypatch):
    (unknown,) = explorer.ask(load_image(explorer.gallery.images[2]), "a dog")
    assert np.isnan(unknown.percent)
    monkeypatch.setattr(embedder, "reference", explorer.gallery.embeddings.half())
    text = embedder.embed_texts(["a dog"])
    expected = embedder.percentiles(explorer.gallery.embeddings, text)[:, 0].tolist()
    for view in explorer.search("a dog"):
        percent = expected[explorer.gallery.images.index(view.file)]
        assert view.percent == percent
        assert f" · {percent:.0f} %" in view.title
        (asked,) = explorer.ask(load_image(view.file), "a dog")
        assert asked.percent == pytest.approx(percent, abs=7)  # another batch, one rank aside


def test_what_is_probably_not_there_is_faint_on_the_page():
    heat_map = torch.zeros(4, 4)
    heat_map[3, 3] = 1
    image = Image.new("RGB", (80, 80), "teal")
    sure, unsure = (View(image, "", heat_map, percent=each).picture(1) for each in (99.0, 10.0))
    plain, hot, faint = (np.asarray(each, int)[78, 78] for each in (image, sure, unsure))
    assert np.abs(faint - plain - FAINT * (hot - plain)).max() <= 1


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


def test_an_image_that_is_gone_or_broken_is_left_out_and_told(embedder, tmp_path, caplog):
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        Image.new("RGB", (40, 40), (90 * number, 0, 0)).save(file)
    explorer = Explorer(embedder, folder_gallery(embedder, [tmp_path]))
    files[1].unlink()
    files[2].write_bytes(b"no image any more")
    assert [view.file for view in explorer.first_views()] == files[:1]
    assert [view.file for view in explorer.search("a dog")] == files[:1]
    assert "1.png" in caplog.text and "2.png" in caplog.text
    files[0].unlink()
    with pytest.raises(ValueError, match="None of the images that fit can be read any more"):
        explorer.search("a dog")


def test_the_server_takes_no_more_than_can_be_typed(explorer):
    for answer in (explorer.search, lambda text: explorer.ask(Image.new("RGB", (9, 9)), text)):
        with pytest.raises(ValueError, match="These are 501 characters; type up to 500"):
            answer("a" * 501)

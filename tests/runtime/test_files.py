import pytest

from misc.runtime.files import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("first")
    with pytest.raises(RuntimeError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    with path.open() as reader:  # who has the old file open goes on reading it
        with replacing(path) as temporary:
            temporary.write_text("second")
        assert reader.read() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]

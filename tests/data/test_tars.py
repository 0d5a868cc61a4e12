from misc.data.tars import find_tars


def test_braces_in_a_name_that_exists_are_no_pattern_and_queries_are_no_suffix(tmp_path):
    (tmp_path / "My {photos").mkdir()
    assert find_tars([str(tmp_path / "My {photos")]) == []
    (tmp_path / "{1,2}.tar").touch()
    assert find_tars([str(tmp_path / "{1,2}.tar")]) == [str(tmp_path / "{1,2}.tar")]
    assert find_tars(["a{1,2}.tar"]) == ["a1.tar", "a2.tar"]
    assert find_tars(["a {photos/"]) == []
    url = "https://bucket/000.tar?X-Amz-Signature=a.b"
    assert find_tars([url]) == [url]

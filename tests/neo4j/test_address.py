"""Where a Neo4j is, from its URL."""

import pytest

from cmf.core.errors import SettingsProblem
from cmf_graph.address import Address, parse_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("neo4j://localhost", Address("neo4j://localhost:7687", None, "", None)),
        ("bolt://h:1234/", Address("bolt://h:1234", None, "", None)),
        ("neo4j+s://u:p%2F%40@graph.example/lineage", Address("neo4j+s://graph.example:7687", "u", "p/@", "lineage")),
        ("bolt+ssc://u@[::1]:7687", Address("bolt+ssc://[::1]:7687", "u", "", None)),
        ("neo4j://h?policy=eu", Address("neo4j://h:7687?policy=eu", None, "", None)),
    ],
)
def test_a_url_is_taken_apart(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://u:s3cret@h",
        "neo4j://",
        "neo4j://u:s3cret@h:port",
        "neo4j://u:s3cret@h/a/b",
        "neo4j://u:s3cret/@h",
        "neo4j://[u:s3cret",
    ],
)
def test_a_malformed_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(SettingsProblem) as caught:
        parse_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_is_shown_without_credentials() -> None:
    assert parse_url("neo4j://u:s3cret@h/db").shown == "neo4j://h:7687/db"

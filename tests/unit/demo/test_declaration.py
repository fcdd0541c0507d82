import yaml

from cdp.demo.declaration import declaration
from cdp.demo.febrl import febrl_declaration, write_febrl
from connectors.declaration import parse_source
from connectors.destination_declaration import parse_destination
from tests.unit.demo import reading


def columns(source):
    """Every column that a source's declaration names."""
    named = [source["record_id"], source.get("store")]
    specs = (*source["fields"].values(), *source.get("attributes", {}).values())
    named += [spec if isinstance(spec, str) else spec["column"] for spec in specs]
    named.append(source["consent"].get("opt_out", {}).get("column"))
    return {name for name in named if name}


def test_the_written_file_is_the_declaration(written):
    """`cdp.yaml` holds the declaration and nothing else."""
    text = (written.folder / "cdp.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == declaration()


def test_connectors_accept_the_declaration():
    """Each source and destination of the demo passes the connectors' own check."""
    declared = declaration()
    for name, entry in declared["sources"].items():
        assert parse_source(name, entry).name == name
    for name, entry in declared["destinations"].items():
        assert parse_destination(name, entry).name == name


def test_declared_columns_are_in_the_files(written):
    """Each column that the declaration names is in its file."""
    sources, data = declaration()["sources"], written.folder / "data"
    for name, encoding in (("pos", "gb18030"), ("shop", "utf-8")):
        (row, *_) = reading.csv_rows(data / f"{name}.csv", encoding)
        assert columns(sources[name]) <= set(row)
    (row, *_) = reading.sheet_rows(data / "legacy.xlsx")
    assert columns(sources["legacy"]) <= set(row)
    for name in ("miniprogram", "wecom"):
        keys = {key for row in reading.json_rows(data / f"{name}.jsonl") for key in flat(row)}
        assert columns(sources[name]) <= keys


def flat(row):
    for key, value in row.items():
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


def test_febrl_columns_are_in_its_files(tmp_path):
    """Each column that the FEBRL declaration names is in both files."""
    write_febrl(tmp_path)
    for source in febrl_declaration()["sources"].values():
        (row, *_) = reading.csv_rows(tmp_path / source["location"], "utf-8")
        assert columns(source) <= set(row)


def test_the_organisation_is_one_tree():
    """Every node but the brand has a parent, principals sit on nodes, and stores are twelve."""
    for declared in (declaration(), febrl_declaration()):
        nodes = {node["id"]: node for node in declared["organisation"]}
        roots = [node for node in nodes.values() if "parent" not in node]
        assert [root["kind"] for root in roots] == ["brand"]
        assert all(node["parent"] in nodes for node in nodes.values() if node not in roots)
        assert {principal["node"] for principal in declared["principals"]} <= set(nodes)
    kinds = [node["kind"] for node in declaration()["organisation"]]
    assert (kinds.count("region"), kinds.count("store")) == (3, 12)


def test_the_hook_is_where_the_caller_says():
    """The webhook's address is an argument, because the receiver's port is chosen late."""
    assert declaration("http://127.0.0.1:1/x")["destinations"]["crm"]["location"].endswith(":1/x")

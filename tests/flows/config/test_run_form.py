"""A study is the same through every door: a file, `--set`, a parameter of a deployment, the form of Prefect's UI."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.actions import DeploymentFlowRunCreate
from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate
from prefect.utilities.schema_tools.validation import is_valid_schema, preprocess_schema, validate

from flows.config.study import Config, load_config
from flows.config.yaml_files import parse_overrides, write_yaml
from flows.data_refresh import data_refresh

REPOSITORY = Path(__file__).parents[3]
DEMO = str(REPOSITORY / "configs" / "demo.yaml")
SCHEMA = data_refresh.parameters.model_dump_for_openapi()
DEPLOYMENTS = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]


def form_posts(schema, values, definitions):
    """What the form of Prefect's UI holds as soon as it is shown, as its components initialise themselves."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].removeprefix("#/definitions/")], **schema}
    if values is None and "default" in schema:
        return schema["default"]
    if "anyOf" in schema:
        first = next((s for s in schema["anyOf"] if values is None or fits(s, values)), schema["anyOf"][0])
        return form_posts(first, values, definitions)
    kind = schema.get("type")
    if kind == "boolean":
        return bool(values)
    if kind == "null":
        return {"__prefect_kind": "none", "value": None}
    if (kind is None and "enum" not in schema) or (kind == "object" and "properties" not in schema):
        return {"__prefect_kind": "json", **({} if values is None else {"value": json.dumps(values)})}
    if kind != "object":
        return values
    shown = {
        name: form_posts(field, (values or {}).get(name), definitions) for name, field in schema["properties"].items()
    }
    posted = {**(values or {}), **{name: value for name, value in shown.items() if value is not None}}
    return posted if posted or values is not None else None


def fits(schema, value):
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    return isinstance(value, kinds.get(schema.get("type"), ()))


def without_empty(value):
    if not isinstance(value, dict):
        return value
    return {key: part for key, item in value.items() if (part := without_empty(item)) != {}}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: f"{d['entrypoint'].partition(':')[2]}-{d['name']}")
def test_the_form_submitted_as_it_is_shown_gives_the_study_of_the_deployment(deployment):
    flow = load_flow_from_entrypoint(f"{REPOSITORY}/{deployment['entrypoint']}")
    schema = flow.parameters.model_dump_for_openapi()
    is_valid_schema(schema)
    shown = preprocess_schema(schema)
    posted = hydrate(form_posts(shown, deployment["parameters"], shown["definitions"]), HydrationContext())
    validate(posted, schema, raise_on_error=True)
    assert without_empty(posted["config"]) == without_empty(deployment["parameters"]["config"])
    asked, meant = flow.validate_parameters(posted), flow.validate_parameters(deployment["parameters"])
    assert asked["config"] == meant["config"]


def test_the_form_names_no_default_and_requires_nothing():
    form = json.dumps(SCHEMA["definitions"]["Config"])
    assert '"default"' not in form and '"required"' not in form and '"boolean"' not in form and "$ref" not in form


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_field_takes_its_own_value(path):
    whole = load_config(path).model_dump(mode="json")
    validate({"config": whole}, SCHEMA, raise_on_error=True)
    assert Config.model_validate(whole) == load_config(path)


def through_each_door(tree, folder):
    """The config of the demo with this tree of overrides."""
    file = folder / "study.yaml"
    file.write_text(write_yaml({"extends": DEMO, **tree}))
    parameters = {"config": {"extends": DEMO, **tree}}
    validate(parameters, SCHEMA, raise_on_error=True)
    sent = json.loads(DeploymentFlowRunCreate(parameters=parameters).model_dump_json())["parameters"]
    return [
        load_config(file),
        load_config(DEMO, parse_overrides(list(as_options(tree)))),
        data_refresh.validate_parameters(sent)["config"],
    ]


def as_options(tree, above=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from as_options(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={json.dumps(value)}"


@pytest.mark.parametrize(
    "tree",
    [
        {"base": {"pretrain": {"steps": 7}}},
        {"base": {"seed": 4}},
        {"base": {"model": "some/model", "quantize": "torchao-int8"}},
        {"base": None, "inputs": None},
        {"corpora": {"italian": {"language": "ita", "text_domain": "web", "sources": ["sample"], "hosts": None}}},
        {"corpora": {"french": {"rules": {"words_min": False}, "pii": {"emails": "off"}}}},
        {"corpora": {"novel": {"min_language_score": "5e-1", "text_domain": "no"}}},
        {"methods": [{"method": "adapter", "learning_rate": "2e-3", "layers": [0, "1"]}]},
        {"training": {"steps": "30", "clip": None, "betas": [0.8, "9e-1"], "compile_layers": "no"}},
        {"training": None, "evaluation": None},
        {"documents": {"languages": None}},
        {"documents": {"opt_outs": {"tdm": 0, "agents": []}}},
        {"sources": {"sample": {"pages": 60}}},
        {"sources": {"sample": {"kind": "warc", "paths": ["x.warc.gz"]}}},
        {"sweep": {"learning_rates": ["1e-3", 3e-3]}, "resources": {"workers": None}},
        {"secret_blocks": {"KEY": "block"}, "start_from": "0123", "bucket": "s3://a/b"},
    ],
    ids=str,
)
def test_what_one_door_takes_all_take(tree, tmp_path):
    file, option, parameter = through_each_door(tree, tmp_path)
    assert file == option == parameter != load_config(DEMO)


number = st.integers(1, 50) | st.integers(1, 50).map(str)
rate = st.floats(1e-6, 1) | st.floats(1e-6, 1).map(str) | st.sampled_from(["1e-3", "5E-4", "+.5", 1])
switch = st.booleans() | st.sampled_from(["yes", "no", "on", "off", "true", "false", 0, 1])


def some_of(**fields):
    return st.fixed_dictionaries({}, optional={name: field | st.none() for name, field in fields.items()})


trees = some_of(
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,5}", fullmatch=True),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True),
    methods=st.lists(some_of(learning_rate=rate).map(lambda m: {**m, "method": "lora"}), min_size=1, max_size=1),
    training=some_of(steps=number, log_every=number, clip=rate, weight_decay=rate, document_mask=switch),
    base=some_of(seed=number, pretrain=some_of(steps=number, layers=number, learning_rate=rate)),
    corpora=some_of(french=some_of(min_characters=number, held_out_share=st.floats(0.01, 0.9), repair=switch)),
    checks=some_of(min_documents=number, max_contamination=rate),
    documents=some_of(shingle=number, extraction=some_of(comments=switch, list_bullets=switch)),
)


@settings(max_examples=10)  # Prefect takes half a second to validate one
@given(tree=trees)
@pytest.mark.slow
def test_the_same_tree_is_the_same_study(tree, tmp_path_factory):
    tree = {key: value for key, value in tree.items() if value is not None or key not in ("base", "corpora")}
    for section, parts in (("base", ("pretrain",)), ("corpora", ("french",))):
        for part in parts:
            if tree.get(section, {}).get(part, 0) is None:
                del tree[section][part]
    file, option, parameter = through_each_door(tree, tmp_path_factory.getbasetemp())
    assert file == option == parameter


@pytest.mark.parametrize(
    "wrong",
    [{"training": {"steps": "many"}}, {"trainin": {}}, {"training": {"step": 3}}, {"seeds": [-1]}, {"base": {"x": 1}}],
)
def test_what_is_wrong_makes_no_run(wrong):
    assert validate({"config": wrong}, SCHEMA)

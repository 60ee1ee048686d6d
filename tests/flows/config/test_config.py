"""Every wrong config is one sentence that names the field and the fix; every deployment's parameters resolve."""

import os
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from pydantic import BaseModel, ValidationError

from flows.config.inputs import check_inputs
from flows.config.resources import Resources
from flows.config.study import Config, load_config, parse_config
from flows.config.yaml_files import parse_overrides
from flows.services.deployments import POOL, TRAINING_QUEUE
from flows.steps.tasks import find_tasks
from storage.errors import InputError
from storage.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]
SMALL = {
    "language": "fra",
    "sources": {"sample": {"kind": "sample_crawl", "pages": 20}},
    "corpora": {
        "french": {"language": "fra", "text_domain": "web", "sources": ["sample"]},
        "english": {"language": "eng", "text_domain": "web", "sources": ["sample"]},
    },
    "base": {"model": "some/model"},
    "inputs": [
        {"corpus": "french", "role": "new", "share": 0.9},
        {"corpus": "english", "role": "original", "share": 0.1},
    ],
}


def refused(**changes):
    with pytest.raises(InputError) as error:
        parse_config({**SMALL, **changes}, "my.yaml")
    sentence = str(error.value)
    assert sentence.startswith("my.yaml: ") and "\n" not in sentence
    return sentence.removeprefix("my.yaml: ")


def test_processes_and_threads_are_those_of_the_cores_that_we_may_use():
    """Of a shared node Slurm gives a job some."""
    cores = os.sched_getaffinity(0)
    assert Resources(devices=len(cores)).training_threads() == 1 == Resources(devices=4096).training_threads()
    assert Resources(threads=3, devices=2).training_threads() == 3
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert (Resources().reading_workers(), Resources().training_threads()) == (1, 1)
    finally:
        os.sched_setaffinity(0, cores)
    assert Resources().reading_workers() == Resources().training_threads() == len(cores)


NEW = {"corpus": "french", "role": "new", "share": 0.9}
OWN = {"from": "base", "share": 0.1}


def test_an_input_may_be_text_that_the_base_writes():
    config = parse_config({**SMALL, "inputs": [NEW, OWN]}, "my.yaml")
    assert (config.inputs[1].role, config.language_of(config.inputs[1])) == ("original", "eng")
    written = config.model_dump(mode="json", exclude_none=True)
    assert written["inputs"][1]["from"] == "base"
    assert parse_config(written, "my.yaml").inputs == config.inputs


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({**OWN, "role": "new"}, "`inputs.1.role` is 'new': input should be 'original'"),
        ({**OWN, "from": "french"}, "`inputs.1.from` is 'french': input should be 'base'"),
        ({**OWN, "corpus": "english"}, "`inputs.1`: an input is text of a `corpus` or what the base writes"),
        ({**OWN, "tokns": 3}, "unknown key `inputs.1.tokns`; did you mean `tokens`?"),
        ({**OWN, "language": "fra"}, "inputs: `from: base` writes in fra, which is the language to learn"),
    ],
)
def test_text_of_the_base_that_contradicts_is_refused(own, sentence):
    assert refused(inputs=[NEW, own]).startswith(sentence)


def test_text_of_a_base_that_writes_twice_or_in_no_known_language_is_refused():
    only_new = {"french": SMALL["corpora"]["french"]}
    assert "say with `language` in what the base writes" in refused(inputs=[NEW, OWN], corpora=only_new)
    assert "stands there twice" in refused(inputs=[NEW, {**OWN, "share": 0.05}, {**OWN, "share": 0.05}])


CONFIGS = REPOSITORY / "configs"
STUDIES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path.parent.name != "tasks"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_every_config_that_ships_is_valid(path):
    assert load_config(path).language


@pytest.mark.slow
def test_the_tables_of_the_paper_are_at_its_scale_and_ask_for_tasks_that_there_are():
    studies = {path.stem: load_config(path) for path in (CONFIGS / "paper").glob("*.yaml")}
    for study in studies.values():
        training = study.training
        assert study.base.model == "google/gemma-2b"
        assert training.steps * training.batch_size * training.sequence_length == 100_000 * 64 * 4_096
        assert find_tasks(study.evaluation.tasks)
        assert "pubmed" in study.evaluation.texts
    of_one = {studies[name].language for name in ("french", "german", "danish", "hungarian", "slovak")}
    assert of_one == set(studies["several-languages"].new_languages()) and len(of_one) == 5
    assert all(study.corpora["new"].language == study.language for study in studies.values())


def test_the_bases_of_the_saturation_study_differ_in_the_steps_of_pretraining_alone():
    for folder in ("", "evidence/"):
        fresh, *longer = (load_config(CONFIGS / f"{folder}saturation-{times}.yaml") for times in (1, 4, 16))
        for study, times in zip(longer, (4, 16), strict=True):
            assert study.base.pretrain.steps == times * fresh.base.pretrain.steps
            steps = study.base.pretrain.model_copy(update={"steps": fresh.base.pretrain.steps})
            assert study.base.model_copy(update={"pretrain": steps}) == fresh.base
            assert (study.methods, study.corpora, study.sweep) == (fresh.methods, fresh.corpora, fresh.sweep)


def test_what_anybody_can_repeat_needs_packages_of_debian_alone():
    public = load_config(CONFIGS / "libreoffice-hungarian-debian.yaml")
    for path in [*(CONFIGS / "evidence").glob("*.yaml"), CONFIGS / "leaderboard.yaml"]:
        study = load_config(path)
        assert (study.sources, study.corpora) == (public.sources, public.corpora)


DEPLOYMENTS = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: f"{d['entrypoint'].partition(':')[2]}-{d['name']}")
def test_every_deployment_resolves(deployment):
    """Its parameters are what its flow takes, as Prefect validates them, and nothing starts by itself."""
    flow = load_flow_from_entrypoint(f"{REPOSITORY}/{deployment['entrypoint']}")
    flow.validate_parameters(deployment["parameters"])
    assert deployment["tags"] and deployment["description"]
    assert deployment["work_pool"] in ({"name": POOL}, {"name": POOL, "work_queue_name": TRAINING_QUEUE})
    if "refresh" in flow.name:
        assert deployment["concurrency_limit"]["limit"] == 1
    for schedule in deployment.get("schedules", []):
        assert ZoneInfo(schedule["timezone"]) and not schedule["active"]


def test_the_deployments_are_there():
    assert {
        ("extend_language", "demo"), ("extend_language", "hungarian"), ("data_refresh", "demo"),
        ("data_refresh", "monthly"), ("train", "demo"), ("evaluate", "demo"), ("sweep", "demo"), ("backfill", "demo"),
        ("train_on_new_text", "after-refresh"),
    } == {(d["entrypoint"].partition(":")[2], d["name"]) for d in DEPLOYMENTS}  # fmt: skip


def test_unknown_keys_name_the_nearest():
    assert refused(langauge="fra") == "unknown key `langauge`; did you mean `language`?"
    assert refused(training={"step": 3}) == "unknown key `training.step`; did you mean `steps`?"
    source = {"kind": "warc", "path": ["x"], "paths": ["x"]}
    assert refused(sources={"sample": source}) == "unknown key `sources.sample.path`; did you mean `paths`?"
    pretrain = {"pretrain": {"layer": 3}, "corpora": {"french": 1}}
    assert refused(base=pretrain) == "unknown key `base.pretrain.layer`; did you mean `layers`?"
    methods = [{"method": "lora", "learningrate": 1}]
    assert refused(methods=methods) == "unknown key `methods.0.learningrate`; did you mean `learning_rate`?"


def test_wrong_values_name_the_field_and_what_it_takes():
    assert "`training.steps` is -3: input should be greater than or equal to 1" in refused(training={"steps": -3})
    assert "`methods.0.method` is 'nuetral'" in refused(methods=[{"method": "nuetral"}])
    assert "hun" in refused(language="hungarian")
    assert "language" in refused(language="xx")


def test_a_password_in_the_address_of_the_bucket_is_refused_and_not_repeated():
    said = refused(bucket="sftp://me:canary@host/folder")
    assert said.startswith("`bucket`: ") and "as FSSPEC_SFTP_PASSWORD" in said and "canary" not in said
    said = refused(bucket="abfs://box@account/folder?sv=2024&sig=canary")
    assert said.startswith("`bucket`: ") and "canary" not in said


def test_what_is_missing_is_said():
    values = {key: value for key, value in SMALL.items() if key != "language"}
    with pytest.raises(InputError, match="`language` is missing: the language to learn"):
        parse_config(values, "my.yaml")
    with pytest.raises(InputError, match=r"there is no config file nowhere\.yaml"):
        load_config("nowhere.yaml")


def test_names_and_shares_must_agree():
    one = {"corpus": "french", "role": "new", "share": 0.9}
    assert "the shares sum to 0.9; make them sum to 1" in refused(inputs=[one])
    assert "there is no corpus 'danish'; known: french, english" in refused(inputs=[{**one, "corpus": "danish"}])
    assert "there is no source 'x'" in refused(
        corpora={"french": {"language": "fra", "text_domain": "web", "sources": ["x"]}}, inputs=[]
    )
    assert "correct the role" in refused(inputs=[{**one, "role": "original", "share": 1.0}])
    assert "5 stands there 2 times; give each seed once" in refused(seeds=[5, 5])
    lora = [{"method": "lora", "learning_rate": 1e-3}, {"method": "lora", "learning_rate": 3e-3}]
    assert "'lora' stands there 2 times; give each a `name` of its own" in refused(methods=lora)
    assert "none has the role new" in refused(inputs=[{**one, "corpus": "english", "role": "original", "share": 1.0}])
    assert "more than documents.num_perm 16" in refused(documents={"num_perm": 16})
    assert "says by its `kind` what it is: give one of 'warc', 'text', 'sample_crawl', 'common_crawl'" in refused(
        sources={"s": {"kind": "wrc", "paths": ["x"]}}
    )
    assert "alpha: lora has no local loss" in refused(methods=[{"method": "lora", "alpha": 1}])


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("base.model", {"base": {"model": "https://me:canary@models.example/base"}}),
        ("base.model", {"base": {"model": "https:/me:canary@models.example/base"}}),
        ("resources.address", {"resources": {"runner": "dask", "address": "tls://me:canary@scheduler:8786"}}),
        ("evaluation.tasks.1", {"evaluation": {"tasks": ["mine", "https://files.example/task.yaml?token=canary"]}}),
    ],
)
def test_a_password_in_any_other_address_is_refused_and_not_repeated(field, changes):
    with pytest.raises(InputError, match=f"`{field}` is an address with a password or a token in it") as refused:
        parse_config({**SMALL, **changes}, "here")
    assert "canary" not in str(refused.value)


LAUNCHERS = {
    "env WANDB_API_KEY=canary torchrun",
    "srun --export=ALL,MY_TOKEN=canary torchrun",
    "srun --export=SECRET=canary torchrun",
    "launch --password canary torchrun",
    "sh -c 'HF_TOKEN=canary torchrun'",
    "sshpass -p canary ssh node7 torchrun",
    "sshpass -v -p canary ssh node7 torchrun",
    "env 'GH_PAT'='canary canary' torchrun",
    "env MYSQL_PWD=canary azure_sas=canary torchrun",
    "launch --password:canary torchrun",
    "curl -u me:canary https://node7",
    "curl -H 'Authorization: Bearer canary' https://node7",
    "ssh me:canary@node7 torchrun",
    f"launch hf_{'canary' * 6} torchrun",
    "mysql -u me -pcanary train",
    "launch --key canary torchrun",
    "launch --auth me:canary torchrun",
    "launch --http-auth=canary torchrun",
    "sh -c 'vault login canary && torchrun'",
    "vault login -method=token canary",
    "wandb login --relogin canary",
    "redis-cli -a canary ping",
    "docker login -u me -p canary registry.example",
    "smbclient -U me%canary //files/x",
    "curl -H 'X-Vault-Token: canary' https://node7",
}


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_a_password_in_the_launcher_is_refused_and_not_repeated(launcher):
    said = refused(resources={"launcher": launcher})
    assert "`resources.launcher` has a password or a token in it" in said and "canary" not in said


def test_a_launcher_without_one_is_taken():
    for launcher in (
        "env TOKENIZERS_PARALLELISM=false PWD=/scratch srun torchrun --rdzv-id=7 --rdzv-endpoint=node7:29500",
        "launch --token-file /run/token --password $PASSWORD -- torchrun",
        "srun --container-image=site/image@sha256:0123456789abcdef0123456789abcdef torchrun",
        "ssh -o PasswordAuthentication=no node7 torchrun --max-tokens 100 --eos-token end",
        "env MAX_TOKENS=9 BYPASS=1 HF_TOKEN_PATH=t.txt HF_TOKEN=`cat t.txt` srun --signal=B:USR1@60 torchrun",
        "docker run --secret id=hub -e HF_TOKEN -v token:/token image torchrun",
        "docker run --user 1000:1000 image torchrun",
        "srun --account project --partition gpu --gres=gpu:h100:8 --time=10:00:00 torchrun",
        "mpirun -n 2 -x HF_TOKEN python",
        "python -c 'key = 5; print(key)'",
        "launch --key-file keys.txt --key keys/id_rsa --auth=none torchrun",
        "launch --auth munge --no-auth torchrun",
        "mysql -P3306 -p train",
        "sh -c 'mysql -p$PASSWORD train && curl -u me:$PASSWORD -H \"Authorization: Bearer $TOKEN\" https://node7'",
        "sh -c 'wandb login && vault login -method userpass username=me && torchrun'",
        "ssh -p 22222 login7 torchrun --rdzv-endpoint=login:29500",
    ):
        assert parse_config({**SMALL, "resources": {"launcher": launcher}}, "here").resources.launcher == launcher
    assert "canary" not in refused(resources={"launcher": "TOKEN=canary 'torchrun"})


def test_a_secret_in_the_place_of_its_block_is_refused_and_not_repeated():
    for typed in ("Canary!", "hf_canary", "canary canary", "0123456789abcdef" * 2 + "canary"):
        said = refused(secret_blocks={"HF_TOKEN": typed})
        assert "`secret_blocks.HF_TOKEN` is no name of a Secret block" in said and "anary" not in said
    for typed in (20262026, 1.5, ["canary"], {"is": "canary"}):
        said = refused(secret_blocks={"HF_TOKEN": typed})
        assert "`secret_blocks.HF_TOKEN` is no name of a Secret block" in said
        assert "2026" not in said and "anary" not in said and "1.5" not in said
    assert "canary" not in refused(secret_blocks=["canary"])
    for name in ("hub-token-2", "huggingfacetoken2026"):
        assert parse_config({**SMALL, "secret_blocks": {"HF_TOKEN": name}}, "here").secret_blocks


@pytest.mark.parametrize(
    "changes",
    [
        {"resources": {"launcher": {"HF_TOKEN": "canary"}}},
        {"resources": {"launcher": ["env", "HF_TOKEN=canary", "torchrun"]}},
        {"resources": {"launcher": [{"name": "HF_TOKEN", "value": "canary"}]}},
        {"training": {"steps": {"api_key": "canary"}}},
        {"extends": {"password": "canary"}},
        {"extends": "https://me:canary@files.example/study.yaml"},
    ],
)
def test_a_secret_is_not_repeated_where_something_else_belongs(changes):
    with pytest.raises(InputError) as refused:
        parse_config({**SMALL, **changes}, "here")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "override", ["secret_blocks.HF_TOKEN=[canary", "base.api_key=[canary", "resources.launcher=[HF_TOKEN=canary"]
)
def test_a_secret_on_the_command_line_is_not_repeated(override):
    with pytest.raises(InputError, match=r"--set [a-zA-Z_.]+=\*\*\*: the value is not YAML") as refused:
        parse_overrides([override])
    assert "canary" not in str(refused.value)


def test_a_token_is_not_repeated_where_a_number_belongs_and_names_like_one_are_taken():
    assert "canary" not in refused(training={"steps": f"hf_{'canary' * 6}"})
    name = "me/hf_smollm2_135m_hungarian_wikipedia_2026"
    assert parse_config({**SMALL, "base": {"model": name}}, "here").base.model == name


def test_a_key_for_the_user_of_a_bucket_is_refused_and_not_repeated():
    said = refused(bucket="s3://AKIACANARY@texts/folder")
    assert said.startswith("`bucket`: ") and "CANARY" not in said
    assert parse_config({**SMALL, "bucket": "abfs://box@account/folder"}, "here").bucket == "abfs://box@account/folder"


def test_a_password_in_data_root_opens_its_files_and_is_kept_nowhere():
    sources = {"sample": {"kind": "warc", "paths": ["${data_root}/x.warc.gz"]}}
    config = parse_config({**SMALL, "sources": sources, "data_root": "https://me:canary@files.example"}, "here")
    assert config.sources["sample"].paths == ["https://me:canary@files.example/x.warc.gz"]
    assert "canary" not in config.model_dump_json()


def test_overrides_extend_and_data_root(tmp_path):
    below = tmp_path / "below.yaml"
    below.write_text(
        yaml.safe_dump({**SMALL, "sources": {"sample": {"kind": "warc", "paths": ["${data_root}/x.warc.gz"]}}})
    )
    above = tmp_path / "above.yaml"
    above.write_text(yaml.safe_dump({"extends": str(below), "training": {"steps": 7}}))
    config = load_config(above, parse_overrides(["data_root=/data", "training.batch_size=3", "seeds=[0, 1]"]))
    assert config.sources["sample"].paths == ["/data/x.warc.gz"]
    assert (config.training.steps, config.training.batch_size, config.seeds) == (7, 3, [0, 1])
    without = load_config(above, parse_overrides(["inputs=[]", "base=null"]))
    assert without.base is None and without.inputs == []
    assert Config.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(InputError, match="write it as field=value"):
        parse_overrides(["training.steps"])
    above.write_text(yaml.safe_dump({"extends": str(below), "base": {"pretrain": {}, "corpora": {"english": 1}}}))
    assert load_config(above).base.pretrain.layers == 4
    with pytest.raises(InputError, match="was given a value of its own"):
        parse_overrides(["training=1", "training.steps=2"])
    with pytest.raises(InputError, match="the value is not YAML"):
        parse_overrides(["seeds=["])
    below.write_text("a: [")
    with pytest.raises(InputError, match="is not YAML"):
        load_config(above)
    below.write_text(yaml.safe_dump({"extends": str(above)}))
    with pytest.raises(InputError, match="goes in a circle"):
        load_config(above)


def test_an_empty_section_leaves_what_is_inherited_and_null_takes_it_away(tmp_path):
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    below.write_text(yaml.safe_dump({**SMALL, "training": {"steps": 9}, "seeds": [4], "methods": [{"method": "lora"}]}))
    above.write_text(f"extends: {below}\ntraining:\n  # steps: 5\nseeds:\nmethods: null\n")
    config = load_config(above)
    assert (config.training.steps, config.seeds, config.methods[0].label) == (9, [4], "neutral_residues")
    assert load_config(above, parse_overrides(["training=null"])).training.steps == 2000
    assert load_config(above, parse_overrides(["training.clip=null"])).training.clip == 1
    for text, said in (("seeds=", "or null to take seeds away"), ("a..b=1", "write it as"), ("seeds=[01]", "zeros")):
        with pytest.raises(InputError, match=said):
            parse_overrides([text])
    with pytest.raises(InputError, match="fields of training were given before"):
        parse_overrides(["training.steps=1", "training={clip: 2}"])


NULLS = [
    ("training.stpes=null", "unknown key `training.stpes`; did you mean `steps`?"),
    ("trainin=null", "unknown key `trainin`; did you mean `training`?"),
    ("documents.languges=null", "unknown key `documents.languges`; did you mean `languages`?"),
    ("sources.sample.pagse=null", "unknown key `sources.sample.pagse`; did you mean `pages`?"),
    ("corpora.french.dedup.band=null", "unknown key `corpora.french.dedup.band`; did you mean `bands`?"),
    ("corpora.french.rules.wrods_min=null", "did you mean `words_min`?"),
    ("sources.smaple=null", "`sources.smaple` is null, which takes a key away, and there is none of that name; did"),
    ("evaluation.texts.poems=null", "there are: none"),
]


@pytest.mark.parametrize(("override", "said"), NULLS)
def test_a_null_under_a_misspelt_name_is_refused_by_the_command_line_a_file_and_a_flows_parameter(
    override, said, tmp_path
):
    below, above, values = tmp_path / "below.yaml", tmp_path / "above.yaml", parse_overrides([override])
    below.write_text(yaml.safe_dump(SMALL))
    above.write_text(yaml.safe_dump({"extends": str(below), **values}))
    with pytest.raises(InputError) as by_the_command_line:
        load_config(below, values)
    with pytest.raises(InputError) as by_a_file:
        load_config(above)
    with pytest.raises(ValidationError) as by_a_parameter:
        Config.model_validate({"extends": str(below), **values})
    assert said in str(by_the_command_line.value) and said in str(by_a_file.value)
    assert override.removesuffix("=null").rpartition(".")[2] in str(by_a_parameter.value)


def test_a_null_under_a_right_name_is_its_default_wherever_nothing_was_set(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    names = [
        "training.steps",
        "add_to",
        "bucket",
        "documents.language_model",
        "sources.sample.licence",
        "base.revision",
    ]
    names += ["corpora.french.rules.words_min", "evaluation.texts", "resources.workers", "base.pretrain"]
    assert load_config(path, parse_overrides([f"{name}=null" for name in names])) == load_config(path)


def test_fields_of_a_base_complete_it_and_only_another_kind_of_base_replaces_it(tmp_path):
    path = tmp_path / "made.yaml"
    made = {"pretrain": {"layers": 2, "steps": 7}, "corpora": {"english": 1.0}}
    path.write_text(yaml.safe_dump({**SMALL, "base": made}))
    for base in ({"seed": 3}, {"pretrain": {"steps": 8}}, {"corpora": {"english": 0.5, "french": 0.5}}):
        completed = load_config(path, {"base": base}).base
        assert completed.pretrain.layers == 2 and completed != load_config(path).base
    assert load_config(path, {"base": {"model": "other/model"}}).base.model == "other/model"
    with pytest.raises(InputError, match=r"unknown key `base\.revision`"):
        load_config(path, {"base": {"revision": "x"}})


def test_files_that_no_config_can_be_are_refused(tmp_path):
    def said(extends):
        with pytest.raises(InputError) as error:
            parse_config({"extends": extends}, "my.yaml")
        assert "\n" not in str(error.value) and len(str(error.value)) < 600
        return str(error.value)

    assert "is a folder" in said(str(tmp_path))
    assert "give the path of one YAML file, as text" in said([str(tmp_path)])
    assert "cannot be looked up" in said("x" * 5000)
    assert "there is no config file" in said("/dev/zero")
    for number in range(30):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {tmp_path}/{number + 1}.yaml\n")
    assert "goes over more than 20 files" in said(f"{tmp_path}/0.yaml")


def test_the_home_is_put_in_for_the_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_config({**SMALL, "workspace": "~/w"}, "x").workspace == f"{tmp_path}/w"
    assert Workspace("~/v").root == tmp_path / "v"
    assert parse_config({**SMALL, "base": {"model": "~/m.gguf"}}, "x").base.model == str(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(SMALL))
    assert load_config("~/c.yaml").language == "fra"
    assert "there is no such user" in refused(workspace="~nobody-of-that-name/w")
    assert "no variable is put in" in refused(workspace="$HOME/w")
    assert "names no folder" in refused(workspace="   ")
    assert "`bucket` takes an address" in refused(workspace="gs://texts/w") and "no folder" in refused(workspace="a\0b")


def test_windows_and_strides_fit_the_context_of_a_base_that_is_made_here():
    base = {"pretrain": {"sequence_length": 64}, "corpora": {"english": 1.0}}
    assert "do not fit into the context of the base" in refused(base=base, evaluation={"sequence_length": 65})
    said = "evaluation.stride: 65 leaves tokens unscored between windows of the base's context"
    assert said in refused(base=base, evaluation={"stride": 65})
    assert parse_config({**SMALL, "base": base, "evaluation": {"stride": 64}}, "x").evaluation.stride == 64


def models_of(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_of(field.annotation)
    for part in get_args(annotation):
        yield from models_of(part)


def test_numbers_that_are_none_are_refused_in_every_field():
    models = set(models_of(Config))
    assert len(models) > 20 and all(model.model_config.get("allow_inf_nan") is False for model in models)
    inf, nan = float("inf"), float("nan")
    assert "`methods.0.learning_rate` is inf: input should be a finite number" in refused(
        methods=[{"method": "lora", "learning_rate": inf}]
    )
    assert "`training.clip` is nan" in refused(training={"clip": nan})
    assert "`training.betas.1` is nan" in refused(training={"betas": [0.9, nan]})
    assert "`training.betas.0` is 1.5: input should be less than 1" in refused(training={"betas": [1.5, 0.9]})
    assert "`sweep.alphas.0` is 'Infinity'" in refused(sweep={"alphas": ["Infinity"]})
    french = {**SMALL["corpora"]["french"], "rules": {"line_dup_max": -inf}}
    assert "`corpora.french.rules.line_dup_max` is -inf" in refused(corpora={**SMALL["corpora"], "french": french})
    assert "valid number" in refused(fetch={"timeout_seconds": 10**400})


def test_switches_and_numbers_beyond_64_bits_are_no_numbers():
    assert refused(seeds=[0, True]) == "`seeds.1` is true: give a number"
    assert refused(seeds=["2_0"]) == "`seeds.0` is '2_0': give a number, with digits alone"
    assert parse_config({**SMALL, "seeds": ["20"]}, "x").seeds == [20]  # as forms post it
    assert refused(methods=[{"method": "adapter", "layers": [False]}]) == "`methods.0.layers.0` is false: give a number"
    assert "`training.log_every` is" in refused(training={"log_every": 2**63})
    assert "more tokens than can be counted" in refused(training={"steps": 2**61})
    for seed in (2**32, 2**64, -1):
        assert "`seeds.0`" in refused(seeds=[seed])
        assert "`sources.sample.seed`" in refused(sources={"sample": {"kind": "sample_crawl", "seed": seed}})
        assert "`base.seed`" in refused(base={"pretrain": {}, "corpora": {"french": 1}, "seed": seed})
    assert parse_config({**SMALL, "seeds": [2**32 - 1]}, "x").seeds == [2**32 - 1]


@pytest.mark.parametrize("host", ["https://example.org", "example.org:8080", "example.org/blog", "a b", " "])
def test_a_host_has_no_scheme_port_or_path(host):
    french = {**SMALL["corpora"]["french"], "hosts": ["*.example", host]}
    assert "is no host: write it without scheme, port" in refused(corpora={**SMALL["corpora"], "french": french})


def test_what_is_nested_without_end_is_refused():
    deep = {}
    for _ in range(900):
        deep = {"a": deep}
    assert "nested more than 40 deep" in refused(training=deep)


def test_missing_files_are_refused_before_anything_runs(tmp_path):
    def check(**changes):
        with pytest.raises(InputError) as error:
            check_inputs(parse_config({**SMALL, **changes}, "my.yaml"))
        return str(error.value)

    for field in ("base", "inputs"):
        without = {key: value for key, value in SMALL.items() if key != field}
        with pytest.raises(InputError, match=f"`{field}` is missing"):
            check_inputs(parse_config(without, "my.yaml"), "base", "inputs")
    absent = str(tmp_path / "*.warc.gz")
    assert "`sources.sample.paths`: nothing matches" in check(sources={"sample": {"kind": "warc", "paths": [absent]}})
    assert "`documents.language_model`" in check(documents={"language_model": str(tmp_path / "lid.bin")})
    french = {**SMALL["corpora"]["french"], "bad_words": "${data_root}/badwords.txt"}
    listed = check(corpora={**SMALL["corpora"], "french": french}, data_root=str(tmp_path))
    assert f"`corpora.french.bad_words`: {tmp_path}/badwords.txt cannot be read" in listed
    assert "`base.model`: there is no" in check(base={"model": str(tmp_path / "model")})


def test_pages_are_read_in_the_languages_of_the_corpora_unless_the_config_says_which(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    base = "language: fra\nsources: {a: {kind: sample_crawl}}\n"
    corpus = "text_domain: t, sources: [a]"
    corpora = f"corpora: {{n: {{language: fra, {corpus}}}, o: {{language: eng, {corpus}}}}}\n"
    config.write_text(base + corpora)
    assert load_config(config).documents.languages == ("eng", "fra")
    config.write_text(base + corpora + "documents: {languages: [hun, fra, fra]}\n")
    assert load_config(config).documents.languages == ("fra", "hun")


def test_a_corpus_of_one_text_source_is_split_by_document_unless_the_config_says_how():
    sources = {**SMALL["sources"], "own": {"kind": "text", "paths": ["own.jsonl"]}}
    french = {**SMALL["corpora"]["french"], "sources": ["own"]}

    def split(corpus=french, **source):
        values = {"sources": {**sources, "own": {**sources["own"], **source}}, "corpora": {"french": corpus}}
        return parse_config({**SMALL, **values, "inputs": []}, "x").corpora["french"].split_by

    assert split() == "document"
    assert split({**french, "split_by": "host"}) == split({**french, "sources": ["own", "sample"]}) == "host"
    assert split({**french, "sources": ["sample"]}) == split(url_field="link") == "host"


def test_several_new_languages_are_learned_jointly():
    hungarian = {"language": "hun", "text_domain": "web", "sources": ["sample"]}
    inputs = [
        {"corpus": "french", "role": "new", "share": 0.5},
        {"corpus": "hungarian", "role": "new", "share": 0.4},
        {"corpus": "english", "role": "original", "share": 0.1},
    ]
    changes = {"corpora": {**SMALL["corpora"], "hungarian": hungarian}, "inputs": inputs}
    assert parse_config({**SMALL, **changes, "more_languages": ["hun"]}, "my.yaml").new_languages() == ["fra", "hun"]
    assert "hungarian is in hun and has role new, while the language to learn is fra" in refused(**changes)


def test_of_a_misspelt_key_that_must_be_there_the_misspelling_is_told_first():
    with pytest.raises(InputError, match=r"unknown key `corpra`; did you mean `corpora`\?"):
        parse_config({"language": "hun", "sources": {"a": {"kind": "text", "paths": ["a.txt"]}}, "corpra": {}}, "here")

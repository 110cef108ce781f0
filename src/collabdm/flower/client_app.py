"""A site's part of the round over Flower: answer the plan in a message with this site's contribution.

Where the data lie is the site's own affair: `flower-supernode --node-config 'client="north" dataset="/srv/images"'`.
"""

import traceback
from collections.abc import Iterator

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from collabdm.cli.output import say
from collabdm.cli.progress import PlainLines
from collabdm.config import Config, load_config
from collabdm.data import Samples, load_samples
from collabdm.engine import tune_allocator
from collabdm.errors import CollabDMError, ConfigError, PlanError, explain
from collabdm.flower.messages import ACTION, asked_plan, contribution_reply, refusal_reply
from collabdm.flower.settings import NodeSettings, node_settings, run_settings
from collabdm.planning import engine_for
from collabdm.privacy.masks import check_key
from collabdm.progress import Report
from collabdm.protocol import Plan, decode_plan
from collabdm.rounds.contributing import cached_contribution
from collabdm.rounds.key_use import check_answer, read_key, record_answer
from collabdm.simulation.sharing import shard_of

__all__ = ["app", "contribute"]

app = ClientApp()


@app.lifespan()
def _tuned(_: Context) -> Iterator[None]:
    tune_allocator()
    yield


@app.query(ACTION)
def contribute(message: Message, context: Context) -> Message:
    """The reply to a query: the contribution, or of which class the error is that there is none for.

    What the error says, with the site's paths and file names, stays in the site's own log. A finished contribution is
    kept in the node's `cache`, so that a repeated query costs seconds.
    """
    report = PlainLines(say)
    try:
        plan = decode_plan(asked_plan(message.content), name="plan in the query")
        content = _answer(plan, node_settings(context.node_config), context, report)
    except CollabDMError as error:
        say(f"error: {error}")
        return Message(refusal_reply(error), reply_to=message)
    except Exception as error:
        # Flower would send its text, and a missing file's text is its path.
        traceback.print_exc()
        return Message(refusal_reply(error), reply_to=message)
    return Message(contribution_reply(content), reply_to=message)


def _answer(plan: Plan, site: NodeSettings, context: Context, report: Report) -> bytes:
    if site.partition_id is None:
        client, samples, config = _own(plan, site)
    else:
        client, samples, config = _simulated(plan, site.partition_id, run_settings(context.run_config).configuration)
    key = None if site.key is None else read_key(site.key)
    check_key(plan, client, key)
    engine = engine_for(config, plan, report=report)
    if site.key is not None and site.cache is None:
        check_answer(site.key, plan)
    content = cached_contribution(
        plan, client, samples.with_classes(plan.classes), site.cache, engine=engine, report=report, key=key
    )
    if site.key is not None:
        check_answer(site.key, plan, content)
        record_answer(site.key, plan, content)
    return content


def _own(plan: Plan, site: NodeSettings) -> tuple[str, Samples, Config]:
    """A real site: its name, its data, its machine."""
    if site.client is None or site.dataset is None:
        missing = "client" if site.client is None else "dataset"
        fix = """--node-config 'client="north" dataset="/srv/images"'"""
        raise ConfigError(explain("--node-config", got=f"no {missing}", expected="client and dataset", fix=fix))
    config = load_config(options={"dataset": site.dataset, "engine": site.engine, "device": site.device})
    return site.client, load_samples(site.dataset, modality=plan.sample.kind, sample=plan.sample), config


def _simulated(plan: Plan, partition: int, config: Config) -> tuple[str, Samples, Config]:
    """A node of Flower's simulation: the part that this client has in `collabdm simulate`."""
    if partition >= len(plan.clients):
        fix = f"num-supernodes={len(plan.clients)}"
        raise PlanError(explain("partition-id", got=partition, expected=f"below {len(plan.clients)} clients", fix=fix))
    client = plan.clients[partition]
    return client, shard_of(config, client), config

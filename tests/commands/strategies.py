"""Generated command definitions and values for property tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from commands import (
    Command,
    CommandInput,
    CommandInputType,
    CommandOutput,
    Delimiter,
    DerivedInput,
    ExternalInput,
    Mount,
    OutputHandler,
    Secret,
    Visibility,
    Wrapper,
    WrapperInputType,
    own_command,
)

# A first run builds a table of all characters, which takes longer than the default allows.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HOSTILE = "ab 'Z\"$\\`;|&()[]{}<>#^*?~!=-_.,:/%@é\u00fc\u4e2d\u00a0\u2028\n\t\x07"

names = st.text("abcdefgXYZ019_-", min_size=1, max_size=8)
plain = st.characters(exclude_categories=["Cs"])
texts = st.text(plain, max_size=12)
words = texts.filter(lambda text: text.strip() != "")
maybe = st.none() | texts
maps = st.dictionaries(words, texts, max_size=3)
hostile_texts = st.text(HOSTILE, max_size=20) | st.sampled_from(
    ["#beta#", "#alpha#", "[KEY]", "x #beta# y", "a && b", "$(id)", "^$.name^", "--beta=1", "''"]
)


@st.composite
def inputs(draw: st.DrawFn, name: str) -> CommandInput:
    """Draw a command input that breaks no rule, of any type."""
    kind = draw(st.sampled_from(CommandInputType))
    choices: tuple[str, ...] = ()
    default = draw(maybe)
    if kind in {CommandInputType.SELECT_ONE, CommandInputType.SELECT_MANY}:
        choices = tuple(draw(st.lists(st.text("abc", min_size=1), min_size=1, max_size=3)))
        default = draw(st.none() | st.sampled_from(choices))
    return CommandInput(
        name=name,
        label=draw(maybe),
        description=draw(maybe),
        type=kind,
        required=draw(st.booleans()),
        matcher=draw(maybe),
        default_value=default,
        replacement_key=draw(maybe),
        command_line_flag=draw(maybe),
        command_line_separator=draw(maybe),
        true_value=draw(maybe),
        false_value=draw(maybe),
        sensitive=draw(st.none() | st.booleans()),
        select_values=choices,
        multiple_delimiter=draw(st.none() | st.sampled_from(Delimiter)),
    )


@st.composite
def wrappers(draw: st.DrawFn, name: str, outputs: tuple[CommandOutput, ...]) -> Wrapper:
    """Draw a wrapper on a session that handles all outputs."""
    external = ExternalInput(
        name="session",
        type=WrapperInputType.SESSION,
        label=draw(maybe),
        required=draw(st.booleans()),
        user_settable=draw(st.booleans()),
        load_children=draw(st.booleans()),
        replacement_key=draw(maybe),
        sensitive=draw(st.none() | st.booleans()),
        advanced=draw(st.none() | st.booleans()),
        matcher=draw(maybe),
        default_value=draw(maybe),
    )
    derived = DerivedInput(
        name="scan",
        type=draw(st.sampled_from([WrapperInputType.SCAN, WrapperInputType.ASSESSOR])),
        derived_from_wrapper_input="session",
        derived_from_xnat_object_property=draw(st.sampled_from([None, "uri"])),
        parser=draw(maybe),
    )
    handlers = tuple(
        OutputHandler(
            name=f"{output.name}-handler",
            accepts_command_output=output.name,
            as_a_child_of=draw(st.sampled_from(["session", "scan"])),
            label=draw(words),
            format=draw(maybe),
            content=draw(maybe),
            description=draw(maybe),
            xsi_type=draw(maybe),
            tags=tuple(draw(st.lists(texts, max_size=2))),
            via_wrapup_command=draw(maybe),
        )
        for output in outputs
    )
    return Wrapper(
        name=name,
        label=draw(maybe),
        description=draw(maybe),
        contexts=tuple(draw(st.lists(texts, max_size=2))),
        external_inputs=(external,),
        derived_inputs=(derived,),
        output_handlers=handlers,
    )


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """Draw a command that breaks no rule, with any content in its free texts."""
    mounts = tuple(
        Mount(name, draw(words), writable=draw(st.booleans()))
        for name in draw(st.lists(words, min_size=1, max_size=3, unique=True))
    )
    outputs = tuple(
        CommandOutput(
            name=name,
            mount=draw(st.sampled_from(mounts)).name,
            required=draw(st.none() | st.booleans()),
            path=draw(maybe),
            glob=draw(maybe),
        )
        for name in draw(st.lists(names, max_size=2, unique=True))
    )
    number = st.integers(min_value=0, max_value=2**40)
    return Command(
        name=draw(words),
        image=f"{draw(names)}:{draw(st.text('ab.1', min_size=1))}",
        label=draw(maybe),
        version=draw(maybe),
        command_line=draw(st.none() | st.text(plain, max_size=100)),
        override_entrypoint=draw(st.booleans()),
        command_metadata=draw(st.none() | st.dictionaries(texts, texts | st.integers())),
        mounts=mounts,
        environment_variables=draw(maps),
        ports=draw(maps),
        inputs=tuple(draw(inputs(name)) for name in draw(st.lists(names, max_size=3, unique=True))),
        outputs=outputs,
        wrappers=tuple(
            draw(wrappers(name, outputs)) for name in draw(st.lists(words, max_size=2, unique=True))
        ),
        reserve_memory=draw(st.none() | number),
        limit_memory=draw(st.none() | number),
        limit_cpu=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        ipc_mode=draw(maybe),
        auto_remove=draw(st.none() | st.booleans()),
        shm_size=draw(st.none() | number),
        container_labels=draw(maps),
        generic_resources=draw(maps),
        ulimits=draw(st.dictionaries(words, st.sampled_from(["1", "1:2"]), max_size=2)),
        secrets=tuple(
            Secret(kind, {"identifier": "key"}, {"identifier": "KEY"})
            for kind in draw(st.lists(st.none() | words, max_size=1))
        ),
        visibility=draw(st.sampled_from(Visibility)),
    )


def sample_command() -> Command:
    """Return an own command with an input of every kind that an argument list carries."""
    return own_command(
        "sample",
        label="Sample",
        description="Takes 100 % of everything.",
        inputs=(
            CommandInput("alpha", description="50 % of it"),
            CommandInput("beta", default_value="middle"),
            CommandInput("size", type=CommandInputType.NUMBER),
            CommandInput("strict", type=CommandInputType.BOOLEAN, default_value="true"),
            CommandInput(
                "mode",
                type=CommandInputType.SELECT_ONE,
                select_values=("fast", "best of all"),
                default_value="fast",
            ),
            CommandInput(
                "parts", type=CommandInputType.SELECT_MANY, select_values=("head", "neck", "leg")
            ),
        ),
        wrappers=(),
        reserve_memory=10,
        limit_memory=20,
    )

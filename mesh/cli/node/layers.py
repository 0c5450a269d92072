"""UpCommand and UpOption: an option of `mesh up` is a flag, else a variable `MESH_NAME`, else a key of `mesh.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mesh.cli.options import home_of
from mesh.errors import MeshError, did_you_mean
from mesh.settings.mesh_file import LIMITS_TABLE, MeshFile, read_mesh_file

PREFIX = "MESH_"
ARGS = "mesh.args"
"""Where a context keeps the arguments that it was made from."""
FILE = "mesh.file"
"""Where a context keeps the MeshFile that it was made with."""
LIMITS_FROM = "mesh.limits"
"""Where it keeps, for each limit that was given, from where: see `origin`."""
TEXT, LIST, NUMBER, SWITCH = "a text in quotes", "a text in quotes, or a list of such", "a number", "true or false"
"""What a key of the file takes."""


SECRETS = {"upstream-token"}
"""Keys whose values are not shown."""


class UpOption(click.Option):
    """An option that the environment and the file may give, too. Of repeatable ones the highest of the three counts alone."""

    def __init__(self, declarations: Any = None, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.envvar = self.own_variable

    @property
    def key(self) -> str:
        """Its key in the file: the name of the option."""
        return self.opts[0].removeprefix("--")

    @property
    def own_variable(self) -> str:
        """The variable that gives it."""
        return PREFIX + self.key.upper().replace("-", "_")

    @property
    def in_file(self) -> str:
        """What TOML has for it."""
        if self.is_flag:
            return SWITCH
        if self.multiple:
            return LIST
        return NUMBER if isinstance(self.type, click.FloatRange) else TEXT

    def from_file(self, value: Any, home: Path) -> Any:
        """A value of the file, as the command line has it; paths are those seen from the home. Raises MeshError for one of
        another kind."""
        is_text = isinstance(value, str)
        kinds = {
            SWITCH: isinstance(value, bool),
            NUMBER: isinstance(value, int | float) and not isinstance(value, bool),
            LIST: is_text or (isinstance(value, list) and all(isinstance(one, str) for one in value)),
            TEXT: is_text,
        }
        if not kinds[self.in_file]:
            raise MeshError(f"{self.key} takes {self.in_file}")
        if isinstance(self.type, click.Path):
            return str(home / value)
        return [value] if is_text and self.multiple else value

    def value_from_envvar(self, ctx: click.Context) -> Any:
        given = self.resolve_envvar_value(ctx)
        if self.multiple and given is not None:
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return super().value_from_envvar(ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        if ctx is not None and self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return f"the variable {self.envvar}"
        return super().get_error_hint(ctx)


class OpenOption(UpOption):
    """`--open[=lan]`: the file and the environment may also say true or false."""

    def from_file(self, value: Any, home: Path) -> Any:
        if value not in (True, False, "here", "lan"):
            raise MeshError(f'{self.key} takes true, false or "lan"')
        return {True: "here", False: None}.get(value, value)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        given = super().value_from_envvar(ctx)
        if given is None:
            return None
        try:
            return "here" if click.BOOL.convert(given, None, None) else None
        except click.BadParameter:
            return given


class LimitOption(UpOption):
    """`--limit NAME=VALUE`: here each limit is an option of its own, and the table `limits` of the file has them."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        file: MeshFile | None = ctx.meta.get(FILE)
        prefix = f"{LIMITS_TABLE}."
        layers = (
            (
                ParameterSource.DEFAULT_MAP,
                [f"{key.removeprefix(prefix)}={file.values[key]}" for key in file.values if key.startswith(prefix)]
                if file is not None
                else (),
            ),
            (ParameterSource.ENVIRONMENT, self.value_from_envvar(ctx) or ()),
            (ParameterSource.COMMANDLINE, opts.get(self.name or "") or ()),
        )
        found: dict[str, str] = {}
        sources: dict[str, ParameterSource] = {}
        highest = ParameterSource.DEFAULT
        for source, given in layers:
            for text in given:
                name = text.partition("=")[0]
                found[name], sources[name], highest = text, source, source
        ctx.meta[LIMITS_FROM] = sources
        return tuple(found.values()), highest


class UpCommand(click.Command):
    """A command whose options are UpOptions; it reads `mesh.toml` of its home before them."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if parent is None or set(args) & {"--help", "-h"}:
            return super().make_context(info_name, args, parent, **extra)
        file = read_mesh_file(home_of(parent))
        mistakes = self.mistakes(file)
        if mistakes:
            raise MeshError(*mistakes)
        if file.values.keys() & SECRETS:
            from mesh.settings.home_files import check_private  # it loads more than most commands need

            check_private(file.path)
        parent.meta[ARGS] = tuple(args)
        parent.meta[FILE] = file  # a context shares it with its children
        return super().make_context(info_name, args, parent, default_map=self._defaults(file), **extra)

    def mistakes(self, file: MeshFile) -> list[str]:
        """A sentence for each key of a file that cannot be used, in the order of their lines."""
        from mesh.settings.config import read_limits  # it loads more than most commands need

        options, context, found = self._options(), click.Context(self), []
        for key in sorted(file.values, key=lambda key: file.lines[key]):
            name = key.removeprefix(f"{LIMITS_TABLE}.")
            try:
                if name != key:
                    read_limits({name: file.values[key]})
                elif key in options:
                    option = options[key]
                    option.process_value(context, option.from_file(file.values[key], file.path.parent))
                else:
                    raise MeshError(f"there is no option {key}{did_you_mean(key, options, most=3)}")
            except MeshError as error:
                found.append(f"{file.place(key)}: {error}")
            except click.BadParameter as error:
                found.append(f"{file.place(key)}: {key}: {error.message}")
        return found

    def _options(self) -> dict[str, UpOption]:
        return {param.key: param for param in self.params if isinstance(param, UpOption) and param.key != "limit"}

    def _defaults(self, file: MeshFile) -> dict[str, Any]:
        options = self._options()
        return {
            str(options[key].name): options[key].from_file(file.values[key], file.path.parent)
            for key in file.values
            if key in options
        }


def origin(context: click.Context, option: UpOption, limit: str = "") -> str:
    """From where an option, or with `limit` one limit of it, has its value: `--listen`, `MESH_LISTEN`, `mesh.toml:3`, or
    `default`."""
    source = context.meta.get(LIMITS_FROM, {}).get(limit) if limit else context.get_parameter_source(option.name or "")
    file: MeshFile | None = context.meta.get(FILE)
    key = f"{LIMITS_TABLE}.{limit}" if limit else option.key
    if source is ParameterSource.COMMANDLINE:
        is_off = option.secondary_opts and not context.params[option.name or ""]
        return (option.secondary_opts if is_off else option.opts)[0]
    if source is ParameterSource.ENVIRONMENT:
        return str(option.envvar)
    if source is ParameterSource.DEFAULT_MAP and file is not None:
        return f"{file.path.name}:{file.lines[key]}"
    return "default"

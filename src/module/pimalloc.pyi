"""What pimalloc, the memory allocator that knows interpreters, has counted.

Classes marked @type_check_only are for annotations: import them under
TYPE_CHECKING.
"""

import tracemalloc
from typing import (
    Final,
    Literal,
    Protocol,
    SupportsIndex,
    TypedDict,
    overload,
    type_check_only,
)

PROCESS: Final = -1
"""Stands for the process where an interpreter's id is asked for."""

EACH: Final = -2
"""Stands for all interpreters in trim() and in traces, for those to come in
set_limit(), limits() and count_made()."""

class NotActiveError(RuntimeError):
    """pimalloc does not serve this Python; the message says what to do."""

@type_check_only
class Usage(TypedDict):
    """One allocation domain; bytes are those of blocks."""

    live_bytes: int
    live_blocks: int
    peak_bytes: int
    peak_blocks: int
    total_bytes: int
    total_blocks: int

@type_check_only
class SizeClass(Usage):
    """One size class of a domain; block_bytes is None where sizes vary."""

    kind: Literal["small", "span", "large"]
    block_bytes: int | None

@type_check_only
class Domains(TypedDict):
    raw: Usage
    mem: Usage
    obj: Usage

@type_check_only
class _Figures(TypedDict):
    id: int
    state: Literal["alive", "ended"]
    generation: int
    arenas: int
    pages: int
    committed_bytes: int
    remote_frees: int

@type_check_only
class InterpreterStats(_Figures):
    domains: Domains

@type_check_only
class ProcessStats(_Figures):
    domains: Domains
    raw_is_libc: bool

@type_check_only
class Stats(TypedDict):
    version: str
    active: Literal[True]
    process: ProcessStats
    interpreters: dict[int, InterpreterStats]

@type_check_only
class Limits(TypedDict):
    id: int
    soft: int | None
    hard: int | None
    live_bytes: int
    refusals: int
    parent: int | None
    counts_made: bool
    tree_bytes: int
    left_bytes: int

@type_check_only
class _HasId(Protocol):
    @property
    def id(self) -> SupportsIndex: ...

@type_check_only
class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...

def active() -> bool:
    """Whether this Python allocates from pimalloc now; never raises."""

def version() -> str:
    """pimalloc's version, for example '0.1.0'."""

@overload
def stats(interp: None = None) -> Stats:
    """The figures of the process and of every interpreter."""

@overload
def stats(  # type: ignore[overload-overlap]  # an int that is -1 is no Literal
    interp: Literal[-1],
) -> ProcessStats:
    """The figures of what belongs to no living interpreter."""

@overload
def stats(interp: SupportsIndex | _HasId) -> InterpreterStats:
    """The figures of one interpreter, by id or by an object that has one."""

def classes(
    interp: SupportsIndex | _HasId, domain: Literal["raw", "mem", "obj"] = "obj"
) -> list[SizeClass]:
    """The figures of one domain by size class, without those never used."""

def interpreters() -> list[int]:
    """The ids of the interpreters that stats() knows."""

def owner(obj: object, /) -> int | None:
    """The id of the interpreter in whose memory the object lies.

    PROCESS: an ended interpreter left it.  None: not pimalloc's memory.
    """

def trim(interp: SupportsIndex | _HasId | None = None) -> int:
    """Gives empty memory back to the system; how many bytes it was.

    None: of the calling interpreter; EACH: of all.  ValueError if no such
    interpreter is known.
    """

def prefork_freeze() -> None:
    """Prepares for forking children that share this process's memory."""

def print_stats(file: _Writable | None = None) -> None:
    """Writes a table of all figures; None is sys.stderr."""

def set_limit(
    soft: SupportsIndex | None,
    hard: SupportsIndex | None = None,
    *,
    interp: SupportsIndex | _HasId | None = None,
) -> None:
    """Limits the live bytes of an interpreter, the calling one if None.

    None is no limit.  Only the main interpreter may change a limit.
    """

def limits(interp: SupportsIndex | _HasId | None = None) -> Limits:
    """The limits of an interpreter, the calling one if None."""

def count_for(
    interp: SupportsIndex | _HasId, parent: SupportsIndex | _HasId | None, /
) -> None:
    """Has an interpreter count for the limits of another one; None: of nobody.

    Only the main interpreter may call it.
    """

def count_made(
    count: bool, *, interp: SupportsIndex | _HasId | None = None
) -> None:
    """Says whether interpreters that one makes from now on count for it.

    Only the main interpreter may call it.
    """

def trace_start(
    nframe: int = 1,
    *,
    interp: SupportsIndex | _HasId | None = None,
    relabel: bool = False,
) -> None:
    """Traces what is allocated from now on, with up to 256 frames of each stack.

    None: of the calling interpreter; EACH: of all.  relabel: objects from free
    lists are labelled anew, on CPython 3.13 and newer.
    """

def trace_stop(interp: SupportsIndex | _HasId | None = None) -> None:
    """Ends a trace and forgets what was traced."""

def is_tracing(interp: SupportsIndex | _HasId | None = None) -> bool:
    """Whether an interpreter is traced, by itself or with all."""

def clear_traces(interp: SupportsIndex | _HasId | None = None) -> None:
    """Forgets what was traced so far, and goes on tracing."""

def get_traced_memory(
    interp: SupportsIndex | _HasId | None = None,
) -> tuple[int, int]:
    """The bytes of all traced blocks, now and at their peak."""

def reset_peak(interp: SupportsIndex | _HasId | None = None) -> None:
    """Sets the peak to what is traced now."""

def get_trace_memory() -> int:
    """The bytes of the tables of all traces."""

def get_object_traceback(obj: object, /) -> tracemalloc.Traceback | None:
    """Where the object was allocated; None if its block is not traced."""

def take_snapshot(
    interp: SupportsIndex | _HasId | None = None,
) -> tracemalloc.Snapshot:
    """What is traced now, in any interpreter."""

"""What pimalloc, the memory allocator that knows interpreters, has counted.

Classes marked @type_check_only are for annotations: import them under
TYPE_CHECKING.
"""

from collections.abc import Iterable
from types import TracebackType
from os import PathLike
import tracemalloc
from typing import (
    Final,
    Literal,
    Protocol,
    Self,
    SupportsIndex,
    TypedDict,
    final,
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
class Profile(TypedDict):
    """The figures of a profile; bytes are estimates."""

    period: int | None
    samples: int
    dropped: int
    live_bytes: int
    total_bytes: int

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

def record_start(
    file: str | bytes | PathLike[str] | PathLike[bytes],
    interp: SupportsIndex | _HasId | None = None,
) -> None:
    """Logs all requests for memory in a file, until record_stop().

    None: everybody's.  RuntimeError if a recording is on; OSError.
    """

def record_stop() -> None:
    """Ends the recording and completes its file; RuntimeError if none is on."""

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

_Domain = Literal["raw", "mem", "obj"]

@final
class faults:
    """Lets requests for memory fail inside a with block, on purpose.

    Exactly one of nth, every and probability says which of those that match.
    """

    def __new__(
        cls,
        *,
        nth: SupportsIndex | None = None,
        every: SupportsIndex | None = None,
        probability: float = 0.0,
        seed: int = 0,
        min_size: SupportsIndex | None = None,
        max_size: SupportsIndex | None = None,
        domains: _Domain | Iterable[_Domain] | None = None,
        interp: SupportsIndex | _HasId | None = None,
        function: str | None = None,
    ) -> Self: ...
    @property
    def matched(self) -> int:
        """How many requests matched so far."""

    @property
    def failed(self) -> int:
        """How many of them failed."""

    def __enter__(self) -> Self:
        """Adds the rule."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]:
        """Removes it; exceptions pass."""
def profile_start(period: SupportsIndex = 524288, frames: SupportsIndex = 64) -> None:
    """Begins a profile of all interpreters: where memory comes from, by samples.

    period: mean bytes between two samples; frames: so many of a stack.
    """

def profile_stop() -> None:
    """Ends the profile; what it noted can still be saved."""

def profile() -> Profile:
    """The figures of the profile; period is None if none runs."""

def profile_mark() -> None:
    """Remembers what the profile says now; pages compare with it from then on."""

def profile_snapshot() -> tracemalloc.Snapshot:
    """What the profile says is live: a trace for each stack, of the estimated size."""

def profile_save(
    path: str | bytes | PathLike[str] | PathLike[bytes],
    format: Literal["html", "pprof", "folded", "speedscope"] = "html",
) -> None:
    """Writes the profile to a file; %p in the path is the process's id."""
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

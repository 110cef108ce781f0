"""Work on several processes: what is larger than a chunk and independent, as a client or a network to be trained.

Workers are started afresh (a fork would copy the locks of this process's threads) and know of the caller only what they
are sent. The caller's script is not run again in them, as `multiprocessing` would: a script need not be written for it,
and a notebook has none.
"""

import io
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import FunctionType
from typing import Any, TypeVar

from collabdm.engine.serving import received, send
from collabdm.errors import WorkerError, explain
from collabdm.registry import added_entries, enter

__all__ = ["in_processes"]

T = TypeVar("T")
R = TypeVar("R")

# An interrupt from the terminal reaches all processes of its group: this one decides what becomes of its workers.
_START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[1:]; "
    "from collabdm.engine.serving import serve; serve()"
)
# A slow item keeps the results after it waiting; so many a process may wait before the others have nothing to do.
_AHEAD = 4


def in_processes(
    function: Callable[[T], R],
    items: Iterable[T],
    processes: int,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[R]:
    """`function` of every item, in the order of the items; here, if one process is enough.

    What no other process can be sent (a class or function of the script itself, or of a notebook) is done here, one
    item at a time, and `tell` gets one line. Raises `WorkerError` where a worker dies.
    """
    if processes == 1:
        yield from map(function, items)
        return
    try:
        entries = _pickled((enter, added_entries()))
    except _Unsendable as reason:
        tell(_told(reason))
        yield from map(function, items)
        return
    with _Workers(processes, entries) as workers:
        waiting: deque[tuple[T, Future[Any]]] = deque()
        for item in items:
            waiting.append((item, workers.begin(function, item)))
            if len(waiting) > _AHEAD * processes:
                yield _finished(function, *waiting.popleft(), workers, tell)
        while waiting:
            yield _finished(function, *waiting.popleft(), workers, tell)


class _Unsendable(Exception):
    """Why something has no meaning in another process."""


def _finished(
    function: Callable[[T], R], item: T, future: Future[Any], workers: "_Workers", tell: Callable[[str], None]
) -> R:
    try:
        return future.result()
    except _Unsendable as reason:
        if not workers.told:
            tell(_told(reason))
        workers.told = True
        return function(item)


def _told(reason: _Unsendable) -> str:
    return (
        f"one process does all the work, as another cannot be sent {' '.join(str(reason).split())} "
        "(put it into a module of its own and import that)"
    )


class _Workers:
    """Processes that are started when there is work for them, each served by a thread, and ended at the end."""

    def __init__(self, processes: int, entries: bytes) -> None:
        self.told = False
        self._entries = entries
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all = [_Worker() for _ in range(processes)]
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="collabdm-worker")
        for worker in self._all:
            self._idle.put(worker)

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.end()
        self._threads.shutdown(cancel_futures=True)

    def begin(self, function: Callable[[T], R], item: T) -> Future[Any]:
        return self._threads.submit(self._asked, function, item)

    def _asked(self, function: Callable[[T], R], item: T) -> R:
        content = _pickled((function, item))
        worker = self._idle.get()
        try:
            if worker.start():
                worker.ask(self._entries)
            return worker.ask(content)
        finally:
            self._idle.put(worker)


class _Worker:
    """One process, from this side; used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def start(self) -> bool:
        """Whether it was started only now."""
        if self._process is not None or self._ended:
            return False
        # As `multiprocessing` starts its own: with this interpreter's options.
        options = subprocess._args_from_interpreter_flags()  # pyright: ignore[reportAttributeAccessIssue]
        command = [sys.executable or "python", *options, "-c", _START, *sys.path]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise _lost(f"{command[0]} that does not start ({error.strerror})") from error
        if self._ended:  # while it was started
            self.end()
        return True

    def ask(self, content: bytes) -> Any:
        """What the worker answers; raises what it raised."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _lost("a worker that has ended")
        answer = None
        with suppress(OSError, ValueError):  # of a pipe that nobody reads, or that was closed meanwhile
            send(process.stdin, content)
            answer = received(process.stdout)
        if answer is None:
            raise _lost(_fate(process))
        kind, value = pickle.loads(answer)
        if kind == "failed":
            raise value
        if kind == "unknown":
            raise _Unsendable(value)
        return value

    def end(self) -> None:
        self._ended = True
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()


def _fate(process: "subprocess.Popen[bytes]") -> str:
    code = process.wait()
    if code >= 0:
        return f"one that ended with code {code}"
    with suppress(ValueError):
        return f"one that was ended by {signal.Signals(-code).name}"
    return f"one that was ended by signal {-code}"


def _lost(got: str) -> WorkerError:
    fix = "free some memory and start the same run again: what is finished is kept"
    return WorkerError(explain("worker process", got=got, expected="its result", fix=fix))


def _pickled(sent: object) -> bytes:
    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(sent)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _Unsendable(f"what is entered or given here: {error}") from None
    return stream.getvalue()


class _Pickler(pickle.Pickler):
    """Refuses what is of the caller's own script, which another process would look for in vain."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise _Unsendable(f"{obj.__qualname__!r}, which is of the script or notebook itself")
        return NotImplemented

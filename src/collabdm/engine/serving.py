"""The far side of `processes`: a worker does what it is sent and answers, until nothing more can come.

Messages are pickles, each after its length, and run between a process and those that it started only.
"""

import os
import pickle
import struct
import traceback
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from collabdm.engine.plain import plain_torch
from collabdm.errors import CollabDMError

__all__ = ["received", "send", "serve"]

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], content: bytes) -> None:
    """Write one message. Raises `OSError` where nobody reads any more."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def received(stream: IO[bytes]) -> bytes | None:
    """The next message; None where the other side has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(head)[0]
    content = stream.read(size)
    return content if len(content) == size else None


def serve() -> None:
    """Answer (function, item) after (function, item) from standard input; never returns.

    An answer is ("done", the result), ("failed", the error), or ("unknown", why) where what was sent has no meaning
    here.
    """
    # What the work prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(asked,), daemon=True).start()
    with plain_torch():
        while True:
            send(answers, _answer(asked.get()))


def _listen(asked: "SimpleQueue[bytes]") -> None:
    """End the process as soon as the one that started it has ended, however much work is left."""
    with os.fdopen(0, "rb", closefd=False) as stream:
        while (content := received(stream)) is not None:
            asked.put(content)
    os._exit(0)


def _answer(content: bytes) -> bytes:
    try:
        function, item = pickle.loads(content)
    except Exception as error:
        return pickle.dumps(("unknown", f"{type(error).__name__}: {error}"))
    try:
        return pickle.dumps(("done", function(item)))
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> bytes:
    if not isinstance(error, CollabDMError):
        error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
    with suppress(Exception):
        made: Any = pickle.dumps(("failed", error))
        pickle.loads(made)  # not every error can be made again
        return made
    return pickle.dumps(("failed", RuntimeError("".join(traceback.format_exception(error)))))

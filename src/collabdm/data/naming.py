"""What may be said of where data came from: products travel, and a path tells of its site's machine and people."""

from pathlib import Path

__all__ = ["public_name"]


def public_name(source: str) -> str:
    """The name of a data source for what is handed on: of a path its last part, of any other source itself."""
    path = Path(source).expanduser()
    is_path = path.is_absolute() or source.startswith((".", "~")) or "\\" in source or path.exists()
    # As `load_dataset` reads it: `owner/name` is a hub repository where there is no such folder.
    if not is_path and source.count("/") < 2 and path.suffix != ".npz":
        return source
    last = source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last if last.strip(".~") else path.resolve().name

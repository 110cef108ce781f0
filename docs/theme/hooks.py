"""What the site's build does beyond MkDocs: the API page from the public names, equations as MathML, linked files.

Equations are LaTeX in the pages and MathML in the site, which every browser draws by itself: no script, no network.
"""

import ast
import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PUBLIC = "<!-- the public names -->"
LINKED = re.compile(r"\]\(\.\./((?:examples|experiments)/[^)#\s]+)")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Files of the repository that pages link to are copied into the site, beside the pages."""
    for page in files.documentation_pages():
        for path in set(LINKED.findall(page.content_string)):
            if files.get_file_from_path(f"{path}.txt") is None:
                # As text, whatever it is: a browser shows it rather than running or downloading it.
                files.append(File.generated(config, f"{path}.txt", content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of docs/ become links within the site; the API page gets an entry for every public name."""
    inside = LINKED.sub(r"](\1.txt", markdown).replace("](../README.md", "](index.md")
    return inside.replace(PUBLIC, "\n\n".join(f"::: {path}" for path in _public_names()))


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """LaTeX that the Markdown extension marked becomes MathML."""

    def drawn(match: re.Match[str]) -> str:
        return convert(html.unescape(match[3]).strip(), display="block" if match[2] == "[" else "inline")

    return EQUATION.sub(drawn, content)


def _public_names() -> list[str]:
    """Full paths of the names in `collabdm.__all__`, read from the source: nothing is imported."""
    tree = ast.parse((ROOT / "src" / "collabdm" / "__init__.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    homes = ast.literal_eval(assigned["_HOMES"])
    return [f"collabdm.{homes[name]}.{name}" for name in ast.literal_eval(assigned["__all__"])]

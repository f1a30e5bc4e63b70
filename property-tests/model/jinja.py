"""Renders the templates of jinja.json, and TRL's own, as transformers does: `python jinja.py jinja.json`, to standard output."""
import glob
import json
import os
import sys

from transformers.utils.chat_template_utils import render_jinja_template

MESSAGES = [
    {"role": "user", "content": "aXyz"},
    {"role": "assistant", "content": "\n    indented\n"},
    {"role": "user", "content": "d"},
]


def rendered(template, messages=MESSAGES, tools=None):
    try:
        generation = messages[-1]["role"] != "assistant"
        texts, _ = render_jinja_template(
            [messages], chat_template=template, tools=tools, add_generation_prompt=generation,
            bos_token="<s>", eos_token="</s>",
        )
        return {"template": template, "expected": texts[0]}
    except Exception:
        return {"template": template, "fails": True}


TOOL = {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}
TOOLS = [{"type": "function", "function": TOOL}]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "é'x"}}}
ASKED = {"role": "user", "content": " hi \n"}
CONVERSATIONS = [
    ([ASKED], None),
    (MESSAGES, None),
    ([{"role": "system", "content": "S"}, ASKED, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n b"}], None),
    ([ASKED], TOOLS),
    (
        [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "name": "add", "content": "3"}],
        TOOLS,
    ),
]


def own():
    try:
        import trl
    except ImportError:
        return []
    files = sorted(glob.glob(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "*.jinja")))
    sources = [(os.path.basename(file), open(file, encoding="utf-8").read()) for file in files]
    return [
        {"name": name, "messages": messages, "tools": tools, **rendered(source, messages, tools)}
        for name, source in sources
        for messages, tools in CONVERSATIONS
    ]


cases = [rendered(case["template"]) for case in json.load(open(sys.argv[1], encoding="utf-8"))]
json.dump({"cases": cases, "trl": own()}, sys.stdout)

"""The official OpenAI SDK for Python. Prints one JSON line per check; openai-python.ts turns them into results."""

import asyncio
import json
import os
import sys
import time

import openai

BASE_URL, API_KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
PROXY_ONLY = bool(os.environ["PROXY_ONLY"])
SECRET = "sk-upstream-secret-123"
USAGE = {"stream_options": {"include_usage": True}}
CHECKS = []

client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=15)


def check(name, ours=False):
    """Registers a check; `ours` is for what LiteLLM by itself does not promise."""

    def register(body):
        CHECKS.append((name, ours, body))
        return body

    return register


def asks(text="one two three"):
    return [{"role": "user", "content": text}]


def create(model, **more):
    return client.chat.completions.create(**{"model": model, "messages": asks(), **more})


def text_of(chunks, choice=0):
    return "".join(c.delta.content or "" for k in chunks for c in k.choices if c.index == choice)


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def fails(kinds, call):
    try:
        call()
    except kinds as error:
        told = f"{error} {getattr(error, 'body', '')}"
        assert SECRET not in told, f"the provider's secret is told: {told}"
        return error
    raise AssertionError("does not fail")


def aborted():
    print(json.dumps({"ask": "aborted"}), flush=True)
    return int(sys.stdin.readline())


def provider_closes(before):
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if aborted() > before:
            return
        time.sleep(0.02)
    raise AssertionError("the provider goes on after the client has left")


@check("lists the models by their LiteLLM names")
def _():
    listed = {model.id for model in client.models.list()}
    equal([name for name in json.loads(os.environ["MODEL_NAMES"]) if name not in listed], [])


@check("answers in one piece, with usage")
def _():
    answer = create("echo")
    equal(answer.choices[0].message.content, "one two three")
    equal(answer.choices[0].finish_reason, "stop")
    equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (3, 3))


@check("streams without usage", ours=True)
def _():
    chunks = list(create("echo", stream=True))
    equal(text_of(chunks), "one two three")
    equal([k.choices[0].finish_reason for k in chunks if k.choices[0].finish_reason], ["stop"])
    equal(len({(k.id, k.created) for k in chunks}), 1)
    assert not any("usage" in k.model_fields_set for k in chunks)


@check("streams with usage when asked")
def _():
    chunks = list(create("echo", stream=True, **USAGE))
    equal(text_of(chunks), "one two three")
    equal(chunks[-1].usage.completion_tokens, 3)


@check("feeds the streaming helper")
def _():
    with client.chat.completions.stream(model="echo", messages=asks()) as stream:
        for _event in stream:
            pass
        equal(stream.get_final_completion().choices[0].message.content, "one two three")


TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


@check("calls a tool and answers with its result")
def _():
    call = create("tools", tools=[TOOL])
    equal(call.choices[0].finish_reason, "tool_calls")
    [asked] = call.choices[0].message.tool_calls
    equal((asked.function.name, json.loads(asked.function.arguments)), ("get_weather", {"city": "Paris"}))
    result = {"role": "tool", "tool_call_id": asked.id, "content": "sunny"}
    answer = create("tools", tools=[TOOL], messages=[*asks(), call.choices[0].message, result])
    equal(answer.choices[0].message.content, "The tool said: sunny")


@check("streams tool calls in pieces")
def _():
    deltas = [k.choices[0].delta for k in create("tools", tools=[TOOL], stream=True) if k.choices]
    pieces = [call for delta in deltas for call in delta.tool_calls or []]
    equal({piece.index for piece in pieces}, {0})
    equal([piece.function.name for piece in pieces if piece.function.name], ["get_weather"])
    equal(json.loads("".join(piece.function.arguments or "" for piece in pieces)), {"city": "Paris"})


@check("gives n choices")
def _():
    equal([c.message.content for c in create("n", n=2).choices], ["choice number 0", "choice number 1"])
    chunks = list(create("n", n=2, stream=True))
    equal([text_of(chunks, 0), text_of(chunks, 1)], ["choice number 0", "choice number 1"])


@check("gives JSON when asked for a JSON object")
def _():
    answer = create("json", response_format={"type": "json_object"})
    equal(json.loads(answer.choices[0].message.content), {"answer": 42, "ok": True})


@check("gives reasoning apart from the text")
def _():
    chunks = list(create("reasoning", stream=True))
    thoughts = [getattr(k.choices[0].delta, "reasoning_content", None) or "" for k in chunks if k.choices]
    equal("".join(thoughts), "Six times seven.")
    equal(text_of(chunks), "The answer is 42.")


@check("keeps letters whole that arrive in halves")
def _():
    equal(text_of(create("split-utf8", stream=True)), "Привет, мир 🌍👩‍👩‍👧 ё𝕏")


@check("refuses a bad key", ours=True)
def _():
    stranger = client.with_options(api_key="sk-not-a-key")
    error = fails(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="echo", messages=asks()))
    equal(error.status_code, 401)
    assert error.code and error.type, error.body


@check("names an unknown model")
def _():
    error = fails((openai.NotFoundError, openai.BadRequestError), lambda: create("no-such-model"))
    assert "no-such-model" in error.message, error.message


@check("passes a rate limit on")
def _():
    fails(openai.RateLimitError, lambda: create("status-429"))
    fails(openai.RateLimitError, lambda: create("status-429", stream=True))


@check("passes a server error on")
def _():
    fails(openai.InternalServerError, lambda: create("status-500"))


@check("ends a stream with the error in it", ours=True)
def _():
    for model in ("error-after-3", "cut-after-3"):
        chunks = []
        fails(openai.APIError, lambda: chunks.extend(k for k in keep(create(model, stream=True), chunks)))
        equal(text_of(chunks), "t1 t2 t3")


def keep(stream, into):
    """Keeps what came before the error."""
    for chunk in stream:
        into.append(chunk)
    return []


@check("closes the provider when the client leaves a stream")
def _():
    before = aborted()
    stream = create("slow-50", stream=True)
    next(iter(stream))
    stream.close()
    provider_closes(before)


@check("closes the provider when an asynchronous call is cancelled")
def _():
    async def leave():
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as client:
            call = client.chat.completions.create(model="slow-50", messages=asks(), stream=True)
            try:
                async with asyncio.timeout(0.8):
                    async for _chunk in await call:
                        pass
            except TimeoutError:
                return
            raise AssertionError("ends too early")

    before = aborted()
    asyncio.run(leave())
    provider_closes(before)


def responds(**more):
    return client.responses.create(**{"model": "echo", "input": "one two three", **more})


@check("makes a response, goes on from it and reads it again", ours=True)
def _():
    first = responds()
    equal((first.status, first.output_text), ("completed", "one two three"))
    then = responds(model="reasoning", previous_response_id=first.id)
    equal(client.responses.retrieve(then.id).output_text, "The answer is 42.")


@check("streams a response, and takes it up where it was cut", ours=True)
def _():
    events = []
    for event in responds(model="brief-50", background=True, stream=True):
        events.append(event)
        if len(events) == 10:
            break
    events += client.responses.retrieve(events[0].response.id, stream=True, starting_after=9)
    equal([event.sequence_number for event in events], list(range(len(events))))
    equal(events[-1].response.status, "completed")


@check("makes vectors", ours=True)
def _():
    equal(client.embeddings.create(model="embed", input="abc").data[0].embedding, [3, 0])


for name, ours, body in CHECKS:
    line = {"name": name}
    if ours and PROXY_ONLY:
        line["left_out"] = True
    else:
        try:
            body()
        except Exception as error:
            line["problem"] = f"{type(error).__name__}: {error}"
    print(json.dumps(line), flush=True)
